"""Waiting for processes to end, our own children and others, without looking again and again.

Where the system has no word for it (`pidfd_open`), the caller looks every second.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable
from contextlib import suppress

LOOK_SECONDS = 1.0
"""How long a wait is at most where the system does not tell of a process's end."""


class EndWaiter:
    """Waits in one thread; `wake` may be called from any other, also by what it waits for."""

    def __init__(self) -> None:
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def wake(self) -> None:
        """End the wait under way, and each one after it."""
        with suppress(BlockingIOError):
            os.write(self._wake, b"x")

    def wait(self, pids: Iterable[int], seconds: float) -> None:
        """Wait until one of the processes has ended, `wake` was called, or the time is over."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        opened = []
        try:
            for pid in pids:
                found = _open(pid)
                if found is None:
                    seconds = min(seconds, LOOK_SECONDS)
                else:
                    opened.append(found)
                    poll.register(found, select.POLLIN)
            poll.poll(seconds * 1000)
        finally:
            for found in opened:
                os.close(found)

    def close(self) -> None:
        """Let go of what it took; no thread waits any more."""
        os.close(self._woken)
        os.close(self._wake)


def _open(pid: int) -> int | None:
    """A descriptor that can be read once the process has ended; None if there is none."""
    if sys.platform == "linux":
        with suppress(OSError):  # it is gone already, or the kernel is older than 5.3
            return os.pidfd_open(pid)
    return None
