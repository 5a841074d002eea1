"""`qi-learn train --now` on the screen.

What happened scrolls by, and on a terminal a bar below it shows how far the cycle is. Elsewhere
there are plain lines. A reason or the name of a card may come from anywhere, so what would steer
the terminal is shown as a sign.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qi_learn.report.gpu_use import GpuUse, gpu_text, gpu_use
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.progress import Progress, progress_text, read_progress, span
from qi_learn.terminal_text import harmless

GPU_SECONDS = 2.0
"""How often nvidia-smi is asked while it is watched."""


@contextmanager
def view(say: Callable[[str], object]) -> Iterator[Lines | Screen]:
    """The view for a terminal or for a pipe; `say` prints a line."""
    if not sys.stdout.isatty():
        yield Lines(say)
        return
    with Live(
        refresh_per_second=8, redirect_stdout=False, redirect_stderr=False, transient=True
    ) as live:
        yield Screen(live)


class Lines:
    """One line for each change."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._shown = ""

    def say(self, text: str) -> None:
        self._say(harmless(text))

    def show(self, run: RunDirectory) -> None:
        if (now := progress_text(run.path)) and now != self._shown:
            self._say(harmless(f"  {now}"))
            self._shown = now


class Screen:
    """A few lines at the foot of the terminal, drawn over and over."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._gpus: tuple[GpuUse, ...] = ()
        self._asked = float("-inf")

    def say(self, text: str) -> None:
        self._live.console.print(harmless(text), markup=False, highlight=False)

    def show(self, run: RunDirectory) -> None:
        progress = read_progress(run.path)
        training = progress is not None and progress.phase != "done"
        if training and time.monotonic() - self._asked > GPU_SECONDS:
            self._gpus, self._asked = gpu_use(run), time.monotonic()
        self._live.update(
            _drawn(progress if training else None, self._gpus if training else (), run.history())
        )


def _drawn(
    progress: Progress | None, gpus: tuple[GpuUse, ...], history: list[dict[str, Any]]
) -> RenderableType:
    """The lines at the foot: a bar and its numbers while it trains, else the step under way."""
    foot = _text("Ctrl-C: leave it, or cancel it", style="dim")
    if progress is None:
        now = history[-1] if history else {"step": "starting"}
        waits = now.get("state") == "waits"
        return Group(
            _text(f"waits: {now.get('reason', '')}" if waits else f"{now['step']} ..."), foot
        )
    bar = Table.grid(padding=(0, 1))
    done = f"{progress.step}/{progress.of}" if progress.of else ""
    eta = f"{span(progress.eta)} to go" if progress.eta is not None else ""
    what = f"paused: {progress.paused}" if progress.paused else progress.phase
    bar.add_row(
        _text(what, style="yellow" if progress.paused else "bold"),
        ProgressBar(progress.of or 1, progress.step, width=40),
        done,
        eta,
    )
    return Group(
        bar, *(_text(line) for line in (_numbers(progress), *map(gpu_text, gpus)) if line), foot
    )


def _text(words: str, style: str = "") -> Text:
    return Text(harmless(words), style=style)


def _numbers(p: Progress) -> str:
    numbers = [
        f"{name} {value:.3f}"
        for name, value in (("loss", p.loss), ("dev loss", p.dev))
        if value is not None
    ]
    numbers += [f"penalty {p.penalty:.4f}"] if p.penalty is not None else []
    numbers += [f"{p.tokens_per_second:.0f} tokens/s"] if p.tokens_per_second is not None else []
    return "   ".join(numbers)
