"""`qi-learn train --now` and `--cancel`: a cycle that the user waits for, followed to its end.

`--cancel` ends one that is no longer wanted.

Ctrl-C does not kill anything: the first one asks, a second one within `ASK_SECONDS` cancels the
cycle, and without one it is left to go on by itself.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from qi_learn.daemon import client
from qi_learn.daemon.hung import refuse_hung, refuse_silent_server
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_TRY_AGAIN,
    DaemonError,
    NotFound,
    QiError,
)
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.paths import Paths
from qi_learn.records import Verdict
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
REQUEST_SECONDS = 60.0
"""How long the daemon may take to answer: it starts and cancels between two of its rounds."""
SETTLE_SECONDS = 60.0
"""How long a cycle waits at most for the scores of what came in just before."""
CANCEL_SECONDS = 120.0
"""How long `--cancel` waits for the end: a training step, and at worst a process that must be
killed.
"""
BY_HAND = "by `qi-learn train --cancel`"


class View(Protocol):
    """Shows a run to the user (report/progress_view.py)."""

    def say(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, run: RunDirectory) -> None:
        """Show how far the run is now."""


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    """How a cycle ended, or that it was left to go on by itself (`left`)."""

    state: str
    reason: str
    run: RunDirectory | None = None
    """The cycle's, if it ended."""

    @property
    def exit_code(self) -> int:
        return CODES[self.state]


@dataclass(frozen=True, slots=True)
class CycleHost:
    """The process that runs the cycle: the daemon, or this one."""

    alive: Callable[[], bool]
    cancel: Callable[[], Any]
    left: str
    """What to say if the user leaves the cycle to it."""
    tick: Callable[[], Any] = lambda: None
    """One round of the daemon, if this process is it."""


# --- `--now` --------------------------------------------------------------------------------------


def train_now(paths: Paths, settings: Settings, view: View) -> CycleOutcome:
    """Start a cycle, or take the one under way, and follow it to its end.

    It goes through the daemon, or if none runs, this process is the daemon for that while.

    A refusal is no error but a `CycleOutcome`. Raises DaemonError if another process holds the lock
    but does not answer, or stops meanwhile.
    """
    if client.locked(paths):
        refuse_hung(paths)
        if (state := client.running(paths)) is not None:
            refuse_silent_server(paths, state.server, engine=state.engine)
        return _train_in_daemon(paths, view)
    refuse_full_home(paths)
    from qi_learn.daemon.daemon import Daemon

    itself = Daemon(paths, settings, gateway=False)  # refuses a home that cannot be used
    view.say("No daemon runs: learning in this process, without the gateway.")
    with interrupts() as pressed, itself as daemon:
        host = CycleHost(
            alive=lambda: not daemon.stopping,
            cancel=daemon.cancel_cycle,
            left="The cycle saves its state; it goes on when the daemon starts, or with "
            "`qi-learn train --now`.",
            tick=daemon.tick,
        )
        daemon.settle(SETTLE_SECONDS)  # a cycle reads scores, which come a moment after evidence
        run = daemon.cycle_now("asked for by `qi-learn train --now`")
        ended = follow(run, view, pressed, host)
        daemon.tick()
        return ended


def _train_in_daemon(paths: Paths, view: View) -> CycleOutcome:
    with interrupts() as pressed:
        host = CycleHost(
            alive=lambda: client.locked(paths),
            cancel=lambda: _request(paths, "cancel"),
            left="The cycle goes on in the daemon; `qi-learn status` shows how far it is.",
        )
        return follow(_request(paths, "train"), view, pressed, host)


def _request(paths: Paths, action: str) -> RunDirectory:
    """Ask the daemon to start or to cancel a cycle; its run."""
    answer = client.call(paths.socket, {"do": action}, timeout=REQUEST_SECONDS)
    return RunDirectory(paths.runs / str(answer["run"]))


@contextmanager
def interrupts() -> Iterator[list[float]]:
    """The times at which Ctrl-C is pressed, collected instead of being cut off by it."""
    pressed: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(time.monotonic())

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def follow(run: RunDirectory, view: View, pressed: list[float], host: CycleHost) -> CycleOutcome:
    """Show the run until it ends or the user leaves it."""
    shown, leaving = 0, _Leaving(view, pressed, host)
    while True:
        host.tick()
        history = run.history()
        for line in history[shown:]:
            view.say(journal_text(line, _refused_by(run, line)))
        shown = len(history)
        view.show(run)
        if run.ended:
            return _outcome(run)
        if not host.alive():
            raise DaemonError(
                "The daemon stopped; the cycle goes on when it starts again.",
                "`qi-learn daemon start`",
            )
        if leaving.look():
            view.say(host.left)
            return CycleOutcome("left", host.left)
        time.sleep(LOOK_SECONDS)


class _Leaving:
    """What Ctrl-C does: the first asks, the second cancels, the third leaves.

    The first alone leaves too, once its time is over.
    """

    def __init__(self, view: View, pressed: list[float], host: CycleHost) -> None:
        self._view = view
        self._pressed = pressed
        self._host = host
        self._asked = self._cancelled = False

    def look(self) -> bool:
        """Answer the newest Ctrl-C; True if the user leaves."""
        if self._pressed and not self._asked:
            self._view.say(
                f"Leaving in {ASK_SECONDS:.0f} s; the cycle is not stopped by that. Ctrl-C again "
                "cancels it."
            )
            self._asked = True
        elif len(self._pressed) > 1 and not self._cancelled:
            self._view.say("Cancelling the cycle.")
            self._host.cancel()
            self._cancelled = True
        else:
            return len(self._pressed) > 2 or self._asked_in_vain()
        return False

    def _asked_in_vain(self) -> bool:
        return (
            self._asked
            and not self._cancelled
            and time.monotonic() - self._pressed[0] > ASK_SECONDS
        )


def journal_text(line: Mapping[str, Any], refused_by: Sequence[str] = ()) -> str:
    """A line of the run's journal, for people.

    `refused_by`: the rules of the gate that refused, instead of all their reasons.
    """
    told = ("ts", "step", "state", "reason")
    known = {key: value for key, value in line.items() if key not in told and value is not None}
    details = ", ".join(f"{key} {value}" for key, value in known.items())
    reason = str(line.get("reason") or "")
    return (
        f"{line['step']}: {line['state']}"
        + (f" ({details})" if details else "")
        + (f" by {', '.join(refused_by)}" if refused_by else f": {reason}" if reason else "")
    )


def _refused_by(run: RunDirectory, line: Mapping[str, Any]) -> tuple[str, ...]:
    """The rules of the gate that refused, if that is how the line says that the run ended."""
    if line.get("step") != "end" or line.get("state") != "refused":
        return ()
    try:
        return run.read(run.verdict, Verdict).refused_by
    except (QiError, OSError, ValueError):
        return ()


def _outcome(run: RunDirectory) -> CycleOutcome:
    outcome = json.loads(run.outcome.read_text())
    return CycleOutcome(outcome["state"], outcome["reason"], run)


# --- `--cancel` -----------------------------------------------------------------------------------


def cancel(paths: Paths, say: Callable[[str], Any]) -> CycleOutcome:
    """End the cycle under way, or the one that waits for the daemon, and wait until it has ended.

    Raises NotFound if there is none.
    """
    if not client.locked(paths):
        return _cancel_waiting(paths)
    refuse_hung(paths)
    run = _request(paths, "cancel")
    say(f"Cancelling {run.run_id}: it ends at the next place where it can.")
    deadline = time.monotonic() + CANCEL_SECONDS
    while not run.ended:
        if time.monotonic() > deadline or not client.locked(paths):
            return CycleOutcome(
                "left", "It is marked as cancelled and ends when the daemon next looks at it."
            )
        time.sleep(LOOK_SECONDS)
    return _outcome(run)


def _cancel_waiting(paths: Paths) -> CycleOutcome:
    """End a cycle that no process works on, since no daemon runs.

    It has ended when that is written down. What it left on the server goes when the daemon starts.
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
