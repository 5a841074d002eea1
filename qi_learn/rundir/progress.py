"""How far a training run is: `progress.json` in the run directory, replaced whole, for `status` and
for whoever waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qi_learn import codec
from qi_learn.paths import replace_file

Phase = Literal["loading", "general fisher", "training", "past fisher", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    phase: Phase
    step: int
    of: int
    """Steps of this phase; 0 where it has none."""
    at: float
    """Unix seconds when this was written."""
    loss: float | None = None
    """Of the last step, nats per target token."""
    dev: float | None = None
    penalty: float | None = None
    eta: float | None = None
    """Seconds until the phase ends."""
    tokens_per_second: float | None = None
    paused: str = ""
    """Why it does not go on just now; empty while it does."""


def write_progress(run: Path, progress: Progress) -> None:
    replace_file(run / "progress.json", codec.dumps(progress) + "\n")


def read_progress(run: Path) -> Progress | None:
    """The progress of a run; None before it has begun or where the file is from another version."""
    try:
        return codec.loads(Progress, (run / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def progress_text(run: Path) -> str:
    """`step 12 of 48, loss 1.834, 41 s to go`; empty where no training is under way."""
    progress = read_progress(run)
    return as_text(progress) if progress is not None else ""


def as_text(p: Progress) -> str:
    """A line for people. Only the training has steps; a Fisher is estimated from sequences."""
    where = {
        "loading": "loading the model",
        "general fisher": f"general Fisher: sequence {p.step} of {p.of}",
        "training": f"step {p.step} of {p.of}",
        "past fisher": f"Fisher of this work: sequence {p.step} of {p.of}",
        "done": "",
    }[p.phase]
    if p.phase == "done":
        return ""
    parts = [f"paused: {p.paused}", where] if p.paused else [where]
    parts += [
        f"{name} {value:.3f}"
        for name, value in (("loss", p.loss), ("dev loss", p.dev))
        if value is not None
    ]
    parts += [f"penalty {p.penalty:.4f}"] if p.penalty is not None else []
    parts += [f"{p.tokens_per_second:.0f} tokens/s"] if p.tokens_per_second is not None else []
    parts += [f"{span(p.eta)} to go"] if p.eta is not None else []
    return ", ".join(parts)


def span(seconds: float) -> str:
    """A time to go, short enough for a line."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
