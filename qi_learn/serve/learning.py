"""Learning cycles as child processes: one at a time, started by a decision, resumed after a crash, given up after three tries.

The cycle itself (`qi_learn.cycle_process`) keeps its state in its run directory, so this module only has to see that some process works on it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, EXIT_TRY_AGAIN, DaemonError
from qi_learn.paths import Paths, replace_file
from qi_learn.serve import background, control
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store.rundir import RunDirectory, RunRequest, run_directories

logger = logging.getLogger(__name__)
MAX_TRIES = 3
RETRY_SECONDS = 10.0


class Cycles:
    """Starts and watches the one cycle there may be; called from the daemon's loop."""

    def __init__(self, paths: Paths, *, clock: Callable[[], float] = time.time) -> None:
        self._paths = paths
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = float("-inf")
        self.current: RunDirectory | None = next((r for r in reversed(run_directories(paths.runs)) if not r.ended), None)

    @property
    def busy(self) -> bool:
        return self.current is not None

    def start(self, request: RunRequest) -> RunDirectory:
        """Makes the run directory and starts a cycle on it."""
        run = RunDirectory(self._paths.runs / request.run_id)
        run.path.mkdir(mode=0o700, parents=True)
        run.write(run.request, request)
        self.current = run
        self._spawn(run)
        return run

    def watch(self) -> None:
        """Notices an ended cycle; starts one again that was cut off (by us or by a crash)."""
        if self.current is None:
            return
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            logger.info("run %s: its process ended with %s", self.current.run_id, code)
            self._process, self._ended_at = None, time.monotonic()
        if self.current.ended:
            self.current = None
        elif self._tries() >= MAX_TRIES:
            self._give_up(self.current)
        elif time.monotonic() - self._ended_at >= RETRY_SECONDS:
            self._spawn(self.current)

    def stop(self) -> None:
        """Lets a cycle save its state and leave; it goes on at the next start of the daemon."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self.current is not None:  # being stopped is not a failed try
            replace_file(self.current.path / "tries", str(max(0, self._tries() - 1)))

    def _spawn(self, run: RunDirectory) -> None:
        replace_file(run.path / "tries", str(self._tries() + 1))
        with open(os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qi_learn.cycle_process", str(run.path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        logger.info("run %s: started (pid %d)", run.run_id, self._process.pid)

    def _tries(self) -> int:
        if self.current is None:
            return 0
        try:
            return int((self.current.path / "tries").read_text())
        except (OSError, ValueError):
            return 0

    def _give_up(self, run: RunDirectory) -> None:
        last = run.log.read_text(errors="replace").splitlines()[-3:] if run.log.exists() else []
        reason = f"its process died {MAX_TRIES} times; last words: {' / '.join(last)}"
        logger.error("run %s: %s", run.run_id, reason)
        run.write(run.outcome, {"state": "failed", "reason": reason, "version": None})
        spool = Spool(self._paths.spool, "daemon", clock=self._clock)
        spool.append("cycle", {"run": run.run_id, "state": "failed", "reason": reason})
        spool.close()
        self.current = None


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
    """Starts a cycle and follows it to its end, through the daemon or, where none runs, as the daemon for that while.

    Raises Refused (through the cycle's own outcome) never: a refusal is an `Ended`. Raises DaemonError where another process holds the lock but does not answer.
    """
    if background.locked(paths):
        run = RunDirectory(paths.runs / str(control.call(paths.socket, {"do": "train"}, timeout=60)["run"]))
        return _follow(run, say, alive=lambda: background.locked(paths))
    from qi_learn.serve.daemon import Daemon

    say("No daemon runs: learning in this process, without the gateway.")
    with Daemon(paths, settings, gateway=False) as daemon:
        run = daemon.start_cycle("asked for by `qi-learn train --now`")
        ended = _follow(run, say, alive=lambda: True, tick=daemon.tick)
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
