"""The time since the system's start, which nobody sets, and which start that was."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has one that goes on while the machine sleeps."""


def boot_clock() -> tuple[str, float] | None:
    """Which start of the system, and the seconds since then; None if the system does not say."""
    boot = _boot()
    return (boot, time.clock_gettime(_CLOCK)) if boot else None


@cache
def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
