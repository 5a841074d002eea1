"""When the daemon's loop looks again: at once if it is woken, else when something is due.

The spool, the files that other processes write for the daemon and what the watcher has seen are
looked at twice a second, once a second after a quiet minute (names, sizes and times of a few files,
some 30 microseconds): that needs no system's events, which some file systems do not have.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from qi_learn.spool import look_of

LOOK_SECONDS = (0.5, 1.0)
"""Seconds between two looks: while something comes in, and after a quiet while."""
QUIET_SECONDS = 60.0


class Pace:
    """The loop's sleep. `wake` may be called from any thread."""

    def __init__(self, spool: Path, *files: Path) -> None:
        """`files`: those that end a sleep when they are written."""
        self._spool = spool
        self._files = tuple(os.fspath(file) for file in files)
        self._woken = threading.Event()
        self._quiet_since = time.monotonic()
        self._seen = self._signature()

    def wake(self) -> None:
        """End the sleep under way, or the next one."""
        self._woken.set()

    def sleep(self, seconds: float, look: Callable[[], bool]) -> None:
        """Sleep for `seconds`, or until woken, something new was written, or `look()` holds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._woken.wait(min(left, self._between())) or self._is_new() or look():
                self._quiet_since = time.monotonic()
                break
        self._woken.clear()

    def _between(self) -> float:
        return LOOK_SECONDS[time.monotonic() - self._quiet_since > QUIET_SECONDS]

    def _is_new(self) -> bool:
        now = self._signature()
        new, self._seen = now != self._seen, now
        return new

    def _signature(self) -> tuple[object, ...]:
        try:
            spool = look_of(self._spool)
        except OSError:  # a file went between two looks, or there is no spool: look again then
            spool = frozenset()
        return spool, *(_written(file) for file in self._files)


def _written(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
