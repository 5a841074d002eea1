"""Reads an agent's log when its hook says that something new stands in it.

So what the gateway missed is closed, and what a person declined last of all is known. A process of
its own reads it, the same that `qi-learn import` is: by cursor, of registered projects alone, into
the spool. The invariant: a log of which is told again while it is read is read once more. One that
cannot be read is logged, and the next report of it tries again. Each reading begins at the log's
beginning, so that a log rests between two, and what is told meanwhile is one reading.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qi_learn.capture.agent_hooks import AgentLog
from qi_learn.daemon.background import Background, Key
from qi_learn.daemon.supervisor import python
from qi_learn.outside.process import kill_group
from qi_learn.paths import Paths

logger = logging.getLogger(__name__)
WAIT_SECONDS = 2.0
"""After a report: agents write the end of their log behind it, and several come at once."""
REST_SECONDS = 60.0
"""Between two readings of one log."""
NICE = 10
"""As the training: all other work goes first."""
MOST_SECONDS = 600.0
"""How long one log may take."""


class AgentLogs:
    """The logs that are to be read; the daemon's loop calls it."""

    def __init__(
        self,
        paths: Paths,
        wake: Callable[[], None] = lambda: None,
        *,
        wait: float = WAIT_SECONDS,
        rest: float = REST_SECONDS,
    ) -> None:
        self._paths = paths
        self._wait, self._rest = wait, rest
        self._closed = threading.Event()
        self._background = Background("qi-learn-logs", wake)
        self._again: set[AgentLog] = set()
        self._rested: dict[Key, float] = {}
        """By what was read of late: until when it rests."""

    def note(self, log: AgentLog) -> None:
        """Have a log read, once more if that is under way, and not before it has rested."""
        key = (log.source, log.path)
        if self._background.has(key) or self._rested.get(key, 0.0) > time.monotonic():
            self._again.add(log)
        else:
            self._background.do(key, lambda: self._read(log))

    def go_on(self) -> None:
        """Begin what was told while a log was read or rested, and log what failed."""
        now = time.monotonic()
        self._rested = {key: until for key, until in self._rested.items() if until > now}
        for done in self._background.results():
            self._rested[done.key] = now + self._rest
            if done.error is not None:
                logger.warning("the log of %s was not read: %s", done.key[0], done.error)
        again, self._again = self._again, set()
        for log in again:
            self.note(log)

    def close(self) -> None:
        """Read no more; what is read now is cut off, and read again after the next report."""
        self._closed.set()
        self._background.close()

    def _read(self, log: AgentLog) -> None:
        if self._closed.wait(self._wait) or not Path(log.path).exists():
            return
        process = subprocess.Popen(
            python("qi_learn", "import", log.source, log.path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **_home(self._paths)},
        )
        with suppress(OSError):  # it has ended, or is nicer already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        until = time.monotonic() + MOST_SECONDS
        while process.poll() is None:
            if self._closed.wait(0.1) or time.monotonic() > until:
                kill_group(process.pid)
                process.wait()
        if process.returncode and not self._closed.is_set():
            logger.warning("the log of %s was not read: exit %d", log.source, process.returncode)


def _home(paths: Paths) -> dict[str, str]:
    """The variable that names this home, if it is one that a variable names."""
    root = paths.data.parent
    return {"QI_LEARN_HOME": str(root)} if Paths.under(root) == paths else {}
