"""Learning cycles as child processes: one at a time, started by a decision, resumed after a crash, given up after three deaths.

The cycle itself (`qi_learn.cycle_process`) keeps its state in its run directory, so this module only has to see that some process works on it, and never
two. A cycle that cannot go on for a while (the server is away, the disk is full) is tried again for as long as it takes; dying is what counts.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, EXIT_TRY_AGAIN, DaemonError, StoreError
from qi_learn.paths import Paths, replace_file
from qi_learn.serve import background, control
from qi_learn.serve.backend import Backend
from qi_learn.serve.children import open_log, python
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store.rundir import RunDirectory, RunRequest, run_directories

logger = logging.getLogger(__name__)
MAX_TRIES = 3
RETRY_SECONDS = (10.0, 30.0, 60.0, 300.0)
"""How long to leave a cycle alone that could not go on, by how many times in a row."""
STOP_SECONDS = 30.0


class Cycles:
    """Starts and watches the one cycle there may be; called from the daemon's loop."""

    def __init__(self, paths: Paths, backend: Backend, *, clock: Callable[[], float] = time.time) -> None:
        self._paths = paths
        self._backend = backend
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._next = float("-inf")
        self._waits = 0
        self.current: RunDirectory | None = next((r for r in reversed(run_directories(paths.runs)) if not r.ended), None)

    @property
    def busy(self) -> bool:
        return self.current is not None

    def start(self, request: RunRequest) -> RunDirectory:
        """Makes the run directory and starts a cycle on it."""
        run = RunDirectory(self._paths.runs / request.run_id)
        run.path.mkdir(mode=0o700, parents=True)
        run.write(run.request, request)
        self.current, self._waits = run, 0
        self._spawn(run)
        return run

    def watch(self) -> None:
        """Notices an ended cycle; starts one again that was cut off, by us or by a crash, or that had to wait for the server or for room on the disk."""
        if self.current is None:
            return
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            self._note_end(self.current, code)
        if self.current.ended:
            self.current = None
        elif self._tries(self.current) >= MAX_TRIES:
            self._give_up(self.current, f"its process died {MAX_TRIES} times; last words: {_last_words(self.current)}")
        elif time.monotonic() >= self._next and not self.current.held:  # held: a daemon before us was killed, and its cycle is just leaving
            self._spawn(self.current)

    def stop(self) -> None:
        """Lets a cycle save its state and leave; it goes on at the next start of the daemon."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _spawn(self, run: RunDirectory) -> None:
        """A process for the run. It asks the server that is up now: the one that the run began with may have had another port."""
        self._next = time.monotonic() + RETRY_SECONDS[0]  # should the rest fail
        try:
            request = run.read(run.request, RunRequest)
        except StoreError as error:
            return self._give_up(run, error.what)
        store = None if self._backend.model_store is None else str(self._backend.model_store)
        here = replace(request, server=self._backend.url, model_store=store)
        if here != request:
            run.write(run.request, here)
        with open_log(run.log) as log:
            self._process = subprocess.Popen(
                python("qi_learn.cycle_process", str(run.path), "--parent", str(os.getpid())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        logger.info("run %s: started (pid %d)", run.run_id, self._process.pid)

    def _note_end(self, run: RunDirectory, code: int) -> None:
        """A death counts as a try, having to wait does not."""
        logger.info("run %s: its process ended with %s", run.run_id, code)
        if not run.ended and code != EXIT_TRY_AGAIN:
            replace_file(run.path / "tries", str(self._tries(run) + 1))
        self._next = time.monotonic() + RETRY_SECONDS[min(self._waits, len(RETRY_SECONDS) - 1)]
        self._waits += 1

    def _tries(self, run: RunDirectory) -> int:
        try:
            return int((run.path / "tries").read_text())
        except (OSError, ValueError):
            return 0

    def _give_up(self, run: RunDirectory, reason: str) -> None:
        logger.error("run %s: %s", run.run_id, reason)
        spool = Spool(self._paths.spool, "daemon", clock=self._clock)
        spool.append("cycle", {"run": run.run_id, "state": "failed", "reason": reason})
        spool.close()
        run.write(run.outcome, {"state": "failed", "reason": reason, "version": None})
        run.clear()
        self.current = None


def _last_words(run: RunDirectory) -> str:
    lines = run.log.read_text(errors="replace").splitlines() if run.log.exists() else []
    return " / ".join(lines[-3:]) or "none"


# --- `qi-learn train --now` ----------------------------------------------------------------------------------------------------------------

CODES = {"deployed": EXIT_DONE, "refused": EXIT_REFUSED, "failed": EXIT_FAILED, "stopped": EXIT_TRY_AGAIN}


@dataclass(frozen=True, slots=True)
class Ended:
    state: str
    reason: str

    @property
    def exit_code(self) -> int:
        return CODES[self.state]


def train_now(paths: Paths, settings: Settings, *, say: Callable[[str], Any]) -> Ended:
    """Starts a cycle (or takes the one under way) and follows it to its end, through the daemon or, where none runs, as the daemon for that while.

    A refusal is no error but an `Ended`. Raises DaemonError where another process holds the lock but does not answer, or stops meanwhile.
    """
    if background.locked(paths):
        run = RunDirectory(paths.runs / str(control.call(paths.socket, {"do": "train"}, timeout=60)["run"]))
        return _follow(run, say, alive=lambda: background.locked(paths))
    from qi_learn.serve.daemon import Daemon

    say("No daemon runs: learning in this process, without the gateway.")
    with Daemon(paths, settings, gateway=False) as daemon:
        run = daemon.cycle_now("asked for by `qi-learn train --now`")
        ended = _follow(run, say, alive=lambda: not daemon.stopping, tick=daemon.tick)
        daemon.tick()
        return ended


def _follow(run: RunDirectory, say: Callable[[str], Any], *, alive: Callable[[], bool], tick: Callable[[], Any] = lambda: None) -> Ended:
    said, shown = 0, ""
    while True:
        tick()
        for line in (history := run.history())[said:]:
            say(_told(line))
        said = len(history)
        if (progress := progress_text(run)) and progress != shown:
            say(f"  {progress}")
            shown = progress
        if run.ended:
            outcome = json.loads(run.outcome.read_text())
            return Ended(outcome["state"], outcome["reason"])
        if not alive():
            raise DaemonError("The daemon stopped; the cycle goes on when it starts again.", "qi-learn daemon start")
        time.sleep(0.3)


def _told(line: dict[str, Any]) -> str:
    details = ", ".join(f"{k} {v}" for k, v in line.items() if k not in ("ts", "step", "state"))
    return f"{line['step']}: {line['state']}" + (f" ({details})" if details else "")


def progress_text(run: RunDirectory) -> str:
    """`step 12 of 48, loss 1.83, 41 s to go`, or nothing where no training is under way."""
    try:
        p = json.loads(run.progress.read_text())
    except (OSError, ValueError):
        return ""
    parts = [f"step {p['step']} of {p['of']}"] if "step" in p else [str(p.get("phase", ""))]
    parts += [f"loss {p['loss']:.3f}"] if p.get("loss") is not None else []
    parts += [f"{p['eta']:.0f} s to go"] if p.get("eta") is not None else []
    return ", ".join(part for part in parts if part)
