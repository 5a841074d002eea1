"""Pauses between attempts that fail: at once for the first time, then longer and longer.

A disk that is full makes each attempt fail after it has cost what it costs. While a pause lasts the
failure is raised again, without an attempt: what is not done stays told. A full disk that has room
again ends the pause.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qi_learn.errors import DiskFull

SECONDS = (1.0, 30.0)
"""The first pause, and the longest; each is twice the one before."""
ROOM_BYTES = 256 * 1024
"""So much more free space on a disk that was full is room again."""


class RetryPause:
    """The pauses of one thing that is tried again and again.

    `disks`: directories on the disks that it writes to. `monotonic`: a clock that never jumps.
    """

    def __init__(
        self, disks: Sequence[Path], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._disks = disks
        self._monotonic = monotonic
        self._error: Exception | None = None
        self._failures = 0
        self._until = float("-inf")
        self._free: tuple[int, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the last attempt failed."""
        return self._error is not None

    @property
    def seconds_left(self) -> float:
        """Seconds until the next attempt; 0 if it may be made now."""
        left = self._until - self._monotonic()
        if left <= 0 or self._error is None or self._has_room():
            return 0.0
        return left

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run the block; while a pause lasts, raise what it raised the last time."""
        if self._error is not None and self.seconds_left:
            raise self._error.with_traceback(None)
        try:
            yield
        except Exception as error:
            self._note(error)
            raise
        self._error, self._failures = None, 0

    def _note(self, error: Exception) -> None:
        pause = SECONDS[0] * 2.0 ** (self._failures - 1) if self._failures else 0.0
        self._error, self._failures = error, min(self._failures + 1, 10)
        self._until = self._monotonic() + min(pause, SECONDS[1])
        self._free = self._room()

    def _has_room(self) -> bool:
        if not isinstance(self._error, DiskFull):
            return False
        pairs = zip(self._room(), self._free, strict=True)
        return any(now - before >= ROOM_BYTES for now, before in pairs)

    def _room(self) -> tuple[int, ...]:
        """Free bytes of the disks; 0 for one that does not say."""
        found = []
        for disk in self._disks:
            try:
                status = os.statvfs(disk)
                found.append(status.f_bavail * status.f_frsize)
            except OSError:
                found.append(0)
        return tuple(found)
