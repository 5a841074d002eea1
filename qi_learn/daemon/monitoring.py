"""Starts the process that compares the live version with the one before it, once a night.

It is started between one and six, local time, when nobody disturbs it and it disturbs nobody, and
not while a cycle is under way, something is forgotten or the recording is paused. It leaves by
itself when a request is answered, and is started again when it is quiet; how far it is stands in a
file (`cycle/night.py`). One that dies three times in a night is left alone until the next.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable

from qi_learn.cycle.night import end_night, night_at, read_night
from qi_learn.daemon.supervisor import open_log, python
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.errors import EXIT_DONE, EXIT_TRY_AGAIN, NotFound
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.outside.process import kill_group
from qi_learn.paths import Paths
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.settings import GateSettings

logger = logging.getLogger(__name__)
REST_SECONDS = 60.0
"""Between two starts."""
STOP_SECONDS = 20.0
"""How long one that was told to stop may take; then it is killed."""
MAX_DEATHS = 3


class Monitoring:
    """Starts and watches the one such process there may be; the daemon's loop calls it."""

    def __init__(self, paths: Paths, gate: GateSettings, model_server: ModelServer) -> None:
        self._paths = paths
        self._gate = gate
        self._model_server = model_server
        self._pauses = PauseFile(paths.pause, mark=boot_clock)
        self._process: subprocess.Popen[bytes] | None = None
        self._next = self._kill_at = float("-inf")
        self._deaths = 0
        self._night = ""

    @property
    def working(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def tick(self, now: float, *, unwanted: bool, disturbs: Callable[[], str]) -> None:
        """Start it, note that it ended, or tell it to leave.

        `unwanted`: something is under way that comes first; `disturbs()`: why it should not start.
        """
        if self._process is not None:
            self._watch(now, unwanted=unwanted or self._paused(now))
        elif not unwanted and not self._paused(now) and self._is_due(now) and not disturbs():
            self._start()

    def _is_due(self, now: float) -> bool:
        """Whether there may be something to compare in this night; costs no file by day."""
        night = night_at(now) if self._gate.night_tokens else ""
        if not night or time.monotonic() < self._next:
            return False
        if night != self._night:
            self._night, self._deaths = night, 0
        self._next = time.monotonic() + REST_SECONDS
        try:
            compared = len(load_deployment(self._paths).chain) > 1
        except NotFound:
            return False
        return compared and not read_night(self._paths.night, night).done

    def _paused(self, now: float) -> bool:
        self._pauses.look()
        return self._pauses.known_now(now) is not None

    def _watch(self, now: float, *, unwanted: bool) -> None:
        process = self._process
        assert process is not None
        code = process.poll()
        if code is None:
            if unwanted and self._kill_at == float("-inf"):
                self._kill_at = time.monotonic() + STOP_SECONDS
                os.killpg(process.pid, signal.SIGTERM)
            elif self._kill_at != float("-inf") and time.monotonic() > self._kill_at:
                kill_group(process.pid)
            return
        self._process, self._kill_at = None, float("-inf")
        self._next = time.monotonic() + REST_SECONDS
        if code in (EXIT_DONE, EXIT_TRY_AGAIN, -signal.SIGTERM):
            return
        self._deaths += 1
        logger.warning("the comparison of versions ended with %s; see %s", code, self._log)
        if self._deaths >= MAX_DEATHS and self._night:
            night = read_night(self._paths.night, self._night)
            end_night(self._paths.night, night, f"it failed {MAX_DEATHS} times: see {self._log}")

    @property
    def _log(self) -> str:
        return str(self._paths.logs / "monitor.log")

    def _start(self) -> None:
        with open_log(self._paths.logs / "monitor.log") as log:
            self._process = subprocess.Popen(
                python(
                    "qi_learn.cycle.monitor_process",
                    *("--server", self._model_server.url),
                    *("--parent", str(os.getpid())),
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        logger.info("versions are compared (pid %d)", self._process.pid)

    def stop(self) -> None:
        """Let it leave; the next one goes on where it was."""
        if not self.working:
            return
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
