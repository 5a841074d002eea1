"""When the daemon's loop looks again: at once if it is woken, else when something is due.

The spool and what the watcher has seen are looked at twice a second (names, sizes and times of a
few files, some 30 microseconds): that needs no system's events, which some file systems do not
have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from qi_learn.spool import look_of

LOOK_SECONDS = 0.5
"""Seconds between two looks at the spool."""


class Pace:
    """The loop's sleep. `wake` may be called from any thread."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._woken = threading.Event()
        self._seen = self._signature()

    def wake(self) -> None:
        """End the sleep under way, or the next one."""
        self._woken.set()

    def sleep(self, seconds: float, look: Callable[[], bool]) -> None:
        """Sleep for `seconds`, or until woken, something is new in the spool, or `look()` holds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._woken.wait(min(left, LOOK_SECONDS)):
                break
            if (now := self._signature()) != self._seen:
                self._seen = now
                break
            if look():
                break
        self._woken.clear()

    def _signature(self) -> frozenset[tuple[str, int, int]]:
        try:
            return look_of(self._spool)
        except OSError:  # a file went between two looks, or there is no spool: look again then
            return frozenset()
