"""`qi-learn train --now` and `--cancel`: a cycle that somebody waits for, followed to its end; or
one that he does not want any more.

Ctrl-C does not kill anything: the first one asks, a second one within `ASK_SECONDS` cancels the
cycle, and without one it is left to go on by itself.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from qi_learn.daemon import client
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_TRY_AGAIN,
    DaemonError,
    NotFound,
)
from qi_learn.paths import Paths
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.settings import Settings
from qi_learn.spool import Spool

CODES = {
    "deployed": EXIT_DONE,
    "refused": EXIT_REFUSED,
    "failed": EXIT_FAILED,
    "cancelled": EXIT_FAILED,
    "left": EXIT_TRY_AGAIN,
}
ASK_SECONDS = 4.0
LOOK_SECONDS = 0.3
CANCEL_SECONDS = 120.0
"""How long `--cancel` waits for the end: a training step, and at worst a process that must be
killed.
"""
BY_HAND = "by `qi-learn train --cancel`"


class View(Protocol):
    """Where it is shown (report/progress_view.py)."""

    def say(self, text: str) -> None: ...
    def show(self, run: RunDirectory) -> None: ...


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    state: str
    reason: str

    @property
    def exit_code(self) -> int:
        return CODES[self.state]


# --- `--now` --------------------------------------------------------------------------------------


def train_now(paths: Paths, settings: Settings, view: View) -> CycleOutcome:
    """Starts a cycle (or takes the one under way) and follows it to its end, through the daemon or,
    where none runs, as the daemon for that while.

    A refusal is no error but an `CycleOutcome`. Raises DaemonError where another process holds the
    lock but does not answer, or stops meanwhile.
    """
    if client.locked(paths):
        with interrupts() as asked:
            run = RunDirectory(
                paths.runs / str(client.call(paths.socket, {"do": "train"}, timeout=60)["run"])
            )
            return _follow(
                run,
                view,
                asked,
                alive=lambda: client.locked(paths),
                cancel=lambda: client.call(paths.socket, {"do": "cancel"}, timeout=60),
                left="The cycle goes on in the daemon; `qi-learn status` shows how far it is.",
            )
    from qi_learn.daemon.daemon import Daemon

    view.say("No daemon runs: learning in this process, without the gateway.")
    with interrupts() as asked, Daemon(paths, settings, gateway=False) as daemon:
        run = daemon.cycle_now("asked for by `qi-learn train --now`")
        ended = _follow(
            run,
            view,
            asked,
            alive=lambda: not daemon.stopping,
            cancel=daemon.cancel_cycle,
            left="The cycle saves its state; it goes on when the daemon starts, or with `qi-learn train --now`.",
            tick=daemon.tick,
        )
        daemon.tick()
        return ended


@contextmanager
def interrupts() -> Iterator[list[float]]:
    """Collects when Ctrl-C was pressed instead of being cut off by it."""
    pressed: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(time.monotonic())

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(
    run: RunDirectory,
    view: View,
    pressed: list[float],
    *,
    alive: Callable[[], bool],
    cancel: Callable[[], Any],
    left: str,
    tick: Callable[[], Any] = lambda: None,
) -> CycleOutcome:
    said, asked, cancelled = 0, False, False
    while True:
        tick()
        for line in (history := run.history())[said:]:
            view.say(told(line))
        said = len(history)
        view.show(run)
        if run.ended:
            outcome = json.loads(run.outcome.read_text())
            return CycleOutcome(outcome["state"], outcome["reason"])
        if not alive():
            raise DaemonError(
                "The daemon stopped; the cycle goes on when it starts again.",
                "qi-learn daemon start",
            )
        if pressed and not asked:
            view.say(
                f"Leaving in {ASK_SECONDS:.0f} s; the cycle is not stopped by that. Ctrl-C again "
                "cancels it."
            )
            asked = True
        elif len(pressed) > 1 and not cancelled:
            view.say("Cancelling the cycle.")
            cancel()
            cancelled = True
        elif len(pressed) > 2 or (
            asked and not cancelled and time.monotonic() - pressed[0] > ASK_SECONDS
        ):
            view.say(left)
            return CycleOutcome("left", left)
        time.sleep(LOOK_SECONDS)


def told(line: dict[str, Any]) -> str:
    """A line of the run's journal, for people."""
    details = ", ".join(f"{k} {v}" for k, v in line.items() if k not in ("ts", "step", "state"))
    return f"{line['step']}: {line['state']}" + (f" ({details})" if details else "")


# --- `--cancel` -----------------------------------------------------------------------------------


def cancel(paths: Paths, say: Callable[[str], Any]) -> CycleOutcome:
    """Ends the cycle under way, or the one that waits for the daemon, and waits until it has.

    Raises NotFound where there is none.
    """
    if not client.locked(paths):
        return _cancel_waiting(paths)
    run = RunDirectory(
        paths.runs / str(client.call(paths.socket, {"do": "cancel"}, timeout=60)["run"])
    )
    say(f"Cancelling {run.run_id}: it ends at the next place where it can.")
    deadline = time.monotonic() + CANCEL_SECONDS
    while not run.ended:
        if time.monotonic() > deadline or not client.locked(paths):
            return CycleOutcome(
                "left", "It is marked as cancelled and ends when the daemon next looks at it."
            )
        time.sleep(LOOK_SECONDS)
    outcome = json.loads(run.outcome.read_text())
    return CycleOutcome(outcome["state"], outcome["reason"])


def _cancel_waiting(paths: Paths) -> CycleOutcome:
    """No daemon runs, so nobody works on it: it has ended when that is written down.

    What it left on the server goes when the daemon starts.
    """
    run = next((r for r in reversed(run_directories(paths.runs)) if not r.ended), None)
    if run is None:
        raise NotFound("No cycle is under way.", "`qi-learn status` shows the last one.")
    if any(r.run_id == run.run_id for r in load_deployment(paths).releases):
        return CycleOutcome("deployed", "its version is live already")
    run.cancel()
    if run.held:
        return CycleOutcome("left", "It is marked as cancelled, and its process is just leaving.")
    spool = Spool(paths.spool, "cancel", clock=time.time)
    spool.append("cycle", {"run": run.run_id, "state": "cancelled", "reason": BY_HAND})
    spool.close()
    run.write(run.outcome, {"state": "cancelled", "reason": BY_HAND, "version": None})
    run.clear()
    return CycleOutcome("cancelled", BY_HAND)
