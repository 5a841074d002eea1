"""Learning cycles as child processes: one at a time, started by a decision, resumed after a crash,
given up after three deaths.

The cycle itself (`python -m qi_learn.cycle`) keeps its state in its run directory, so this module only
has to see that some process works on it, and never two. A cycle that cannot go on for a while (the
server is away, the disk is full, no device has the memory) is tried again for as long as it takes;
dying is what counts. One that nobody asked for goes on only while the user is idle.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from qi_learn.daemon.supervisor import open_log, python
from qi_learn.deploy.model_server import ModelServer
from qi_learn.errors import EXIT_TRY_AGAIN, NotFound, StoreError
from qi_learn.outside.process import kill_group
from qi_learn.paths import Paths, replace_file
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)
MAX_TRIES = 3
RETRY_SECONDS = (10.0, 30.0, 60.0, 300.0)
"""How long to leave a cycle alone that could not go on, by how many times in a row."""
STOP_SECONDS = 30.0
CANCEL_SECONDS = 60.0
"""How long a cancelled cycle may take to come to a place where it can end; then it is killed, and
ended by the next process.
"""


class CycleRunner:
    """Starts and watches the one cycle there may be; called from the daemon's loop."""

    def __init__(
        self, paths: Paths, backend: ModelServer, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._paths = paths
        self._backend = backend
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._next = float("-inf")
        self._waits = 0
        self._kill_at = float("inf")
        self.waits_for = ""
        """Why the current cycle does not go on although it could: the user is not idle."""
        self.current: RunDirectory | None = next(
            (r for r in reversed(run_directories(paths.runs)) if not r.ended), None
        )

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

    def watch(self, disturbed: Callable[[], str] = lambda: "") -> None:
        """Notices an ended cycle; starts one again that was cut off, by us or by a crash, or that
        had to wait for the server or for room on the disk.

        `disturbed()` says why now is no moment to go on, where nobody asked for the cycle.
        """
        if self.current is None:
            return
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                if time.monotonic() > self._kill_at:
                    kill_group(self._process.pid)
                return
            self._process = None
            self._kill_at = float("inf")
            self._paths.hold.unlink(
                missing_ok=True
            )  # nobody is held by it, but the gateway need not look again and again
            self._note_end(self.current, code)
        if self.current.ended:
            self.current, self.waits_for = None, ""
        elif self._tries(self.current) >= MAX_TRIES:
            self._give_up(
                self.current,
                f"its process died {MAX_TRIES} times; last words: {_last_words(self.current)}",
            )
        elif (
            time.monotonic() >= self._next and not self.current.held
        ):  # held: a daemon before us was killed, and its cycle is just leaving
            self.waits_for = "" if self._wanted(self.current) else disturbed()
            if not self.waits_for:
                self._spawn(self.current)

    def skip_idle_wait(self) -> None:
        """Somebody waits for the current cycle: it goes on at once, whether the user is idle or
        not.
        """
        if self.current is not None:
            request = self.current.read(self.current.request, RunRequest)
            self.current.write(self.current.request, replace(request, asked=True))
            self._next, self._waits = float("-inf"), 0

    def cancel(self) -> RunDirectory:
        """Ends the current cycle at the next place where it can; it is not resumed.

        Raises NotFound where there is none.
        """
        if self.current is None:
            raise NotFound("No cycle is under way.", "`qi-learn status` shows the last one.")
        self.current.cancel()
        self._next = float("-inf")  # where no process works on it, one is started that ends it
        if self._process is not None and self._process.poll() is None:
            self._kill_at = time.monotonic() + CANCEL_SECONDS
            os.killpg(self._process.pid, signal.SIGTERM)
        return self.current

    def _wanted(self, run: RunDirectory) -> bool:
        """Whether it goes on whatever the user does: he asked for it, or for its end."""
        try:
            return run.cancelled or run.read(run.request, RunRequest).asked
        except StoreError:
            return True  # it is given up

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
        """A process for the run.

        It asks the server that is up now: the one that the run began with may have had another
        port.
        """
        self._next = time.monotonic() + RETRY_SECONDS[0]  # should the rest fail
        try:
            request = run.read(run.request, RunRequest)
        except StoreError as error:
            return self._give_up(run, error.what)
        store = None if self._backend.model_store is None else str(self._backend.model_store)
        here = replace(
            request, server=self._backend.url, model_store=store, engine=self._backend.engine
        )
        if here != request:
            run.write(run.request, here)
        with open_log(run.log) as log:
            self._process = subprocess.Popen(
                python("qi_learn.cycle", str(run.path), "--parent", str(os.getpid())),
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
