"""Child processes that the daemon keeps alive: gateway and engine.

A child says that it accepts connections by renaming its ready file into place
(outside/listening.py). One that dies is started again after a delay that grows with its deaths in a
row, on the port it had, so that URLs stay valid. One that lives but has answered nothing for a
minute is killed first.

A child that `outlives` the daemon goes on serving when the daemon is killed, and the next daemon
finds it again by its file, if it is what that daemon would have started; anything else is stopped.
Any other child is given our pid and leaves when we are gone.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from qi_learn import __version__, logs
from qi_learn.daemon.answers import Answers
from qi_learn.daemon.gateway_client import answers_at
from qi_learn.daemon.held_port import HeldPort, inheriting
from qi_learn.errors import DaemonError
from qi_learn.outside.listening import Listening, end_process, find, read_listening

logger = logging.getLogger(__name__)
BACKOFF = (0.5, 2.0, 5.0, 15.0, 30.0)
"""Least seconds between two starts, by how many there were in a row."""
SETTLED_SECONDS = 60.0
"""A child that lived this long starts at the front of `BACKOFF` again."""
LAST_ASK_SECONDS = 2.0
"""How long a child that is to end may take to answer before it counts as hanging."""
HUNG_SECONDS = 3.0
"""How long one that hangs has to end by itself: it carries nothing to an end."""


def python(module: str, *arguments: str) -> list[str]:
    """The command `python -m MODULE`, without the working directory on the import path.

    A project's own `types.py` must not stand in for the library's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def open_log(file: Path) -> BinaryIO:
    """A log file (0600) to append to; a full one is first put aside as `<name>.1`."""
    if file.exists() and file.stat().st_size > logs.LIMIT:
        logs.shift(file)
        file.replace(logs.beside(file, 1))
    return open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


class SupervisedProcess:
    """`python -m MODULE ARGS --ready FILE [--parent PID]`, supervised.

    Its methods may be called from several threads: one at a time changes something.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        ready: Path,
        log: Path,
        backoff: Sequence[float] = BACKOFF,
        outlives: bool = False,
        upstream: str = "",
        health: str = "",
        held_port: HeldPort | None = None,
    ) -> None:
        """`health`: the path that is asked now and then whether it still answers.

        `held_port`: the port that it is given, if it does not listen on one of its own.
        """
        self.module = module
        self.outlives = outlives
        self._arguments = tuple(arguments)
        self._upstream = upstream
        self._health = health
        self._held_port = held_port
        self._ready = ready
        self._log = log
        self._backoff = tuple(backoff)
        self._process: subprocess.Popen[bytes] | None = None
        self._found: Listening | None = None
        self._started = 0.0
        self._starts = 0
        self._port: int | None = None
        self._was_ready = False
        self._answers = Answers()
        self._log_begins = 0
        self._lock = threading.RLock()

    @property
    def url(self) -> str | None:
        """The URL on which it listens; None while it does not."""
        if (found := self._found) is not None:
            return found.url if found.alive else None
        process = self._process
        if process is None or process.poll() is not None:
            return None
        ready = read_listening(self._ready)
        if ready is None or ready.pid != process.pid:
            return None
        self._port, self._was_ready = urlsplit(ready.url).port, True
        return ready.url

    @property
    def pid(self) -> int | None:
        """The process's number; None if there is none."""
        if self._found is not None:
            return self._found.pid
        return self._process.pid if self._process is not None else None

    @property
    def found(self) -> bool:
        """Whether it was there before this daemon."""
        return self._found is not None

    @property
    def starts(self) -> int:
        """The number of times in a row that it had to be started."""
        return self._starts

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        if self._found is not None:
            return self._found.alive
        return self._process is not None and self._process.poll() is None

    @property
    def settled(self) -> bool:
        """Whether it has been there for a while."""
        return self.alive and time.monotonic() - self._started > SETTLED_SECONDS

    def find_or_start(self, *, wanted: Callable[[Listening], bool] = lambda found: True) -> bool:
        """Take over the one that a killed daemon left, or start one; whether one was found.

        `wanted(found)`: whether it is what we would start; if it is not, it is stopped first.
        """
        with self._lock:
            before = read_listening(self._ready)
            if before is not None and self.outlives and before.alive:
                if find(self._ready) and self._same(before) and wanted(before):
                    self._found, self._starts = before, 1
                    self._port = urlsplit(before.url).port
                    logger.info("found %s (pid %d) at %s", self.module, before.pid, before.url)
                    return True
                logger.info("%s (pid %d) is another than is wanted", self.module, before.pid)
                end_process(before)
            self._plan_port(before)
            self.start()
            return False

    def _same(self, found: Listening) -> bool:
        """Whether it is of this version and was started as we would; its port is its own."""
        asked = set(self._arguments) - {"0"}
        return (
            found.version == __version__
            and found.upstream == self._upstream
            and asked <= set(found.words)
        )

    def _plan_port(self, before: Listening | None) -> None:
        """Choose the port before the start, so that others may know it: the one it had, or any."""
        if "--port" not in self._arguments:
            return
        with suppress(ValueError):
            self._port = None if before is None else urlsplit(before.url).port
        if self._port is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = int(free.getsockname()[1])

    @property
    def planned_url(self) -> str:
        """The URL at which it listens or will listen, if nothing takes its port away."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self._lock:
            self._ready.unlink(missing_ok=True)
            self._found = None
            held = None if self._held_port is None else self._held_port.fileno()
            command = self._command()
            with open_log(self._log) as log:
                self._log_begins = log.tell()
                # a session of its own: a Ctrl-C in the terminal is for us, and we decide what
                # becomes of it
                self._process = subprocess.Popen(
                    command if held is None else inheriting(held, command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd="/" if self.outlives else None,
                    pass_fds=() if held is None else (held,),
                )
            self._started = time.monotonic()
            self._starts += 1
            self._was_ready = False
            self._answers = Answers()
            logger.info("started %s (pid %d)", self.module, self._process.pid)

    def _command(self) -> list[str]:
        again = ["--port", str(self._port)] if self._port and "--port" in self._arguments else []
        upstream = ["--upstream", self._upstream] if self._upstream else []
        parent = [] if self.outlives else ["--parent", str(os.getpid())]
        ready = ["--ready", str(self._ready)]
        return python(self.module, *self._arguments, *upstream, *again, *ready, *parent)

    def redirect(self, upstream: str) -> None:
        """Start it again in front of another server, if that is not the one it has."""
        with self._lock:
            if upstream != self._upstream:
                self._upstream = upstream
                self.stop()
                self.start()

    def watch(self) -> None:
        """Start it again if it died and its back-off has passed; kill it if it answers nothing."""
        with self._lock:
            if self._process is None and self._found is None:
                return
            logs.cut(self._log)  # what a library prints past the logging; own lines turn over
            lived = time.monotonic() - self._started
            if not self.alive:
                if self._found is not None or lived >= self._wait():
                    self._note_end()
                    self.start()
                return
            self._was_ready = self._was_ready or self.url is not None
            self._starts = 1 if lived > SETTLED_SECONDS else self._starts
        self._ask()  # free to be stopped meanwhile: one that hangs takes seconds to ask

    def _wait(self) -> float:
        return self._backoff[min(self._starts, len(self._backoff)) - 1]

    def _note_end(self) -> None:
        code = "its daemon's word" if self._process is None else self._process.returncode
        logger.warning("%s ended with %s; its last words are in %s", self.module, code, self._log)
        if self._process is not None and not self._was_ready:
            self._port = None  # another program may have its port by now

    def _ask(self) -> None:
        """See whether it still answers; one that is silent for too long is killed."""
        if not self._health or not self._answers.due:
            return
        url, pid = self.url, self.pid
        silent = self._answers.ask(None if url is None else url + self._health, pid)
        with self._lock:
            if silent is not None and pid is not None and self.alive and self.pid == pid:
                logger.error("%s has not answered for %.0f s", self.module, silent)
                self._signal(signal.SIGKILL)

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
            f"{self.module} did not start.\n{self.last_words()}".rstrip(),
            f"Its log is {self._log}.",
        )

    def last_words(self) -> str:
        """The last lines of its log since its last start; its own error alone, if it wrote one."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_begins if self._log_begins <= self._log.stat().st_size else 0)
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        _, own, error = text.rpartition(" ERROR __main__: ")
        return error.strip() if own else "\n".join(text.splitlines()[-5:])

    def stop(self, seconds: float = 10.0) -> None:
        """Stop it by SIGTERM, then by SIGKILL: soon if it hangs.

        One that is held (SIGSTOP) is let go first, and then ends as any other.
        """
        with self._lock:
            self._signal(signal.SIGCONT)
            seconds = min(seconds, HUNG_SECONDS) if self._hangs() else seconds
            if self._found is not None:
                end_process(self._found, seconds)
                self._found = None
            if self._process is not None:
                self._stop_own(self._process, seconds)
                self._process = None
            self._ready.unlink(missing_ok=True)

    def _hangs(self) -> bool:
        """Whether it listens and leaves a question unanswered."""
        if not self._health or (url := self.url) is None:
            return False
        return not answers_at(url + self._health, timeout=LAST_ASK_SECONDS)

    def _signal(self, number: int) -> None:
        if self.alive and (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _stop_own(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.module, seconds)
            process.kill()
            process.wait()

    def leave(self) -> None:
        """Stop it if we started it; what was there before us goes on."""
        with self._lock:
            if self._found is None:
                self.stop()
