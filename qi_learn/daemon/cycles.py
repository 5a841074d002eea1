"""Learning cycles as child processes, one at a time.

A decision starts one. After a crash it is resumed, after three deaths it is given up.

The cycle itself (`python -m qi_learn.cycle`) keeps its state in its run directory, so this module
only has to see that one process works on it, and never two. A cycle that cannot go on for a while
(the server is away, the disk is full, no device has the memory) is tried again for as long as it
takes; only deaths count. A cycle that started by itself goes on only while the user is idle.
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
"""How long to leave a cycle alone that could not go on, by the number of times in a row."""
STOP_SECONDS = 30.0
CANCEL_SECONDS = 60.0
"""How long a cancelled cycle may take to reach a safe point; then it is killed, and the next
process ends it.
"""


class CycleRunner:
    """Starts and watches the one cycle there may be; the daemon's loop calls it."""

    def __init__(
        self, paths: Paths, model_server: ModelServer, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._paths = paths
        self._model_server = model_server
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._next = float("-inf")
        self._waits = 0
        self._kill_at = float("inf")
        self.waits_for = ""
        """The reason why the current cycle waits although it could go on: the user is not idle."""
        self.current: RunDirectory | None = next(
            (r for r in reversed(run_directories(paths.runs)) if not r.ended), None
        )

    @property
    def busy(self) -> bool:
        return self.current is not None

    @property
    def working(self) -> bool:
        """Whether a process of ours is at work on it."""
        return self._process is not None and self._process.poll() is None

    def start(self, request: RunRequest) -> RunDirectory:
        """Make the run directory and start a cycle on it."""
        run = RunDirectory(self._paths.runs / request.run_id)
        run.path.mkdir(mode=0o700, parents=True)
        run.write(run.request, request)
        self.current, self._waits = run, 0
        self._spawn(run)
        return run

    def watch(self, blocked: Callable[[], str] = lambda: "") -> None:
        """Notice an ended cycle; start one again that was cut off or had to wait.

        We or a crash cut it off, or it had to wait for the server or for room on the disk.

        `blocked()` is the reason why a cycle that started by itself should not go on now.
        """
        if self.current is None or self._is_running(self.current):
            return
        if self.current.ended:
            self.current, self.waits_for = None, ""
        elif self._tries(self.current) >= MAX_TRIES:
            self._give_up(
                self.current,
                f"its process died {MAX_TRIES} times; last words: {_last_words(self.current)}",
            )
        elif time.monotonic() >= self._next and not self.current.held:
            # held: a daemon before us was killed, and its cycle is just leaving
            self.waits_for = "" if self._is_asked_for(self.current) else blocked()
            if not self.waits_for:
                self._spawn(self.current)

    def _is_running(self, run: RunDirectory) -> bool:
        """Whether our process works on the run.

        Its end is noted, and one that is cancelled but does not leave is killed.
        """
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            if time.monotonic() > self._kill_at:
                kill_group(self._process.pid)
            return True
        self._process = None
        self._kill_at = float("inf")
        # it holds no request any more; without the file the gateway need not look again and again
        self._paths.hold.unlink(missing_ok=True)
        self._note_end(run, code)
        return False

    def skip_idle_wait(self) -> None:
        """Let the current cycle go on at once, since the user waits for it, idle or not."""
        if self.current is not None:
            request = self.current.read(self.current.request, RunRequest)
            self.current.write(self.current.request, replace(request, asked=True))
            self._next, self._waits = float("-inf"), 0

    def cancel(self) -> RunDirectory:
        """End the current cycle at its next safe point; it is not resumed.

        Raises NotFound if there is none.
        """
        if self.current is None:
            raise NotFound("No cycle is under way.", "`qi-learn status` shows the last one.")
        self.current.cancel()
        self._next = float("-inf")  # if no process works on it, one is started that ends it
        if self._process is not None and self._process.poll() is None:
            self._kill_at = time.monotonic() + CANCEL_SECONDS
            os.killpg(self._process.pid, signal.SIGTERM)
        return self.current

    def _is_asked_for(self, run: RunDirectory) -> bool:
        """Whether it goes on whatever the user does: he asked for it, or for its end."""
        try:
            return run.cancelled or run.read(run.request, RunRequest).asked
        except StoreError:
            return True  # it is given up

    def stop(self) -> None:
        """Let a cycle save its state and leave; it goes on at the next start of the daemon."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _spawn(self, run: RunDirectory) -> None:
        """Start a process for the run.

        It uses the server that is up now: the one that the run began with may have had another
        port.
        """
        self._next = time.monotonic() + RETRY_SECONDS[0]  # should the rest fail
        try:
            request = run.read(run.request, RunRequest)
        except StoreError as error:
            return self._give_up(run, error.what)
        store = (
            None if self._model_server.model_store is None else str(self._model_server.model_store)
        )
        current = replace(
            request,
            server=self._model_server.url,
            model_store=store,
            engine=self._model_server.engine,
        )
        if current != request:
            run.write(run.request, current)
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
        """Count a death as a try; having to wait does not count."""
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
