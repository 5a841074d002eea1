"""Child processes that the daemon keeps alive: gateway and engine.

A child says that it accepts connections by renaming its ready file (`{"url", "pid"}`) into place.
One that dies is started again after a delay that grows with its deaths in a row. The engine gets
the port it had, and the gateway that of the settings, so that URLs stay valid (unless the settings
let the gateway take any free port). A child is given our pid and leaves when we are gone: a killed
daemon leaves no process behind.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from qi_learn.errors import DaemonError, ToolMissing
from qi_learn.outside.installation import how_to_add
from qi_learn.paths import Paths
from qi_learn.settings import Settings

logger = logging.getLogger(__name__)
BACKOFF = (0.5, 2.0, 5.0, 15.0, 30.0)
"""Least seconds between two starts, by how many there were in a row."""
SETTLED_SECONDS = 60.0
"""A child that lived this long starts at the front of `BACKOFF` again."""
LOG_LIMIT = 8 << 20


def python(module: str, *arguments: str) -> list[str]:
    """The command `python -m MODULE`, without the working directory on the import path.

    A project's own `types.py` must not stand in for the library's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def open_log(file: Path) -> BinaryIO:
    """A log file (0600) to append to; one over 8 MiB is first put aside as `<name>.1`."""
    if file.exists() and file.stat().st_size > LOG_LIMIT:
        file.replace(file.with_name(f"{file.name}.1"))
    return open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


class SupervisedProcess:
    """`python -m MODULE ARGS --ready FILE --parent PID`, supervised.

    Not thread-safe: the daemon's loop calls it.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        ready: Path,
        log: Path,
        backoff: Sequence[float] = BACKOFF,
    ) -> None:
        self.module = module
        self._arguments = tuple(arguments)
        self._ready = ready
        self._log = log
        self._backoff = tuple(backoff)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._starts = 0
        self._port: int | None = None

    @property
    def url(self) -> str | None:
        """The URL on which it listens; None while it does not."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            ready = json.loads(self._ready.read_text(encoding="utf-8"))
            pid, url = ready["pid"], str(ready["url"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if pid != self._process.pid:
            return None
        self._port = urlsplit(url).port
        return url

    @property
    def starts(self) -> int:
        """The number of times in a row that it had to be started."""
        return self._starts

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._ready.unlink(missing_ok=True)
        again = ["--port", str(self._port)] if self._port and "--port" in self._arguments else []
        command = python(
            self.module,
            *self._arguments,
            *again,
            "--ready",
            str(self._ready),
            "--parent",
            str(os.getpid()),
        )
        with open_log(self._log) as log:
            # a session of its own: a Ctrl-C in the terminal is for us, and we decide what becomes
            # of it
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started = time.monotonic()
        self._starts += 1
        logger.info("started %s (pid %d)", self.module, self._process.pid)

    def watch(self) -> None:
        """Start it again if it died and its back-off has passed; called from the daemon's loop."""
        if self._process is None:
            return
        lived = time.monotonic() - self._started
        if self._process.poll() is None:
            self._starts = 1 if lived > SETTLED_SECONDS else self._starts
        elif lived >= self._backoff[min(self._starts, len(self._backoff)) - 1]:
            logger.warning(
                "%s ended with %s; its last words are in %s",
                self.module,
                self._process.returncode,
                self._log,
            )
            self.start()

    def wait_ready(self, seconds: float) -> str:
        """Wait until it accepts, and return its URL.

        Raises DaemonError with the end of its log if it does not in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if url := self.url:
                return url
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise DaemonError(
            f"{self.module} did not start.\n{self.last_words()}", f"Its log is {self._log}."
        )

    def last_words(self) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(
                self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            )
        except OSError:
            return ""

    def stop(self, seconds: float = 10.0) -> None:
        """Stop it by SIGTERM, then by SIGKILL."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.module, seconds)
            self._process.kill()
            self._process.wait()
        self._ready.unlink(missing_ok=True)


ENGINE_SECONDS = 60.0
"""How long the engine may take to load its library and look through its models."""
GATEWAY_SECONDS = 20.0


def gateway_process(paths: Paths, upstream: str) -> SupervisedProcess:
    """The gateway's process in front of the server `upstream`, not started yet."""
    return SupervisedProcess(
        "qi_learn.gateway",
        ["--upstream", upstream],
        ready=paths.state / "gateway.ready",
        log=paths.logs / "gateway.log",
    )


def engine_process(paths: Paths, settings: Settings) -> SupervisedProcess:
    """The engine's process, not started yet.

    Raises ToolMissing if llama-cpp-python is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise ToolMissing(
            "The embedded engine needs llama-cpp-python, which is not installed.",
            f"{how_to_add('embedded')}; or name an Ollama model in serve.base.",
        )
    arguments = ["--host", "127.0.0.1", "--port", "0"]
    arguments += ["--models", str(paths.models), "--context", str(settings.serve.context)]
    return SupervisedProcess(
        "qi_learn.engine",
        arguments,
        ready=paths.state / "engine.json",
        log=paths.logs / "engine.log",
    )
