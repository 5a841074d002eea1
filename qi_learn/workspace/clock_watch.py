"""Notices that the wall clock was set, by a clock that cannot be.

The steady clock goes on while the machine sleeps, so that sleep is no jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_SECONDS = 30.0
"""A smaller difference is a clock that is being slewed, and matters to nothing here."""


def steady_clock() -> float:
    """Seconds since some time ago, sleep included, however the wall clock is set."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClockWatch:
    """Compares the wall clock with a steady one, look by look."""

    def __init__(self, steady: Callable[[], float] = steady_clock) -> None:
        self._steady = steady
        self._ahead: float | None = None

    def jump(self, now: float) -> float:
        """By how many seconds the wall clock was set since the last look; 0.0 if it was not."""
        ahead = now - self._steady()
        if self._ahead is None:
            self._ahead = ahead
        jump = ahead - self._ahead
        if abs(jump) < JUMP_SECONDS:
            return 0.0
        self._ahead = ahead
        return jump
