"""Two small files by which gateway and cycle give way to each other, without a protocol.

The gateway touches `activity` while requests are answered: its time says when the model was last
needed. A cycle that has the only GPU to itself for a while locks `hold`. The kernel ends the lock
with its process, so a cycle that dies lets the requests pass, whatever the file says.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AHEAD = 5.0
"""Seconds that a mark may lie ahead of the clock (which was set back): one further ahead is not
believed.
"""


def quiet_for(activity: Path, now: float) -> float:
    """Seconds since requests were last answered; infinite if that never happened."""
    try:
        quiet = now - activity.stat().st_mtime
    except OSError:
        return math.inf
    return max(0.0, quiet) if quiet >= -AHEAD else math.inf


@contextmanager
def holding(hold: Path, reason: str) -> Iterator[None]:
    """Hold the requests while this lasts, or until this process ends.

    `reason` is for a client that waited for too long.
    """
    fd = os.open(hold, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # waits for microseconds at most: as long as a gateway that looks has it
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"reason": reason}).encode(), 0)
        yield
    finally:
        with suppress(OSError):
            hold.unlink(missing_ok=True)
        os.close(fd)


def held(hold: Path) -> str | None:
    """The reason why requests wait; None if no process holds them (any more)."""
    try:
        fd = os.open(hold, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _reason(os.pread(fd, 4096, 0))
    except OSError:
        return None  # a file system without locks holds nothing
    else:
        return None  # left behind by a process that died
    finally:
        os.close(fd)


def _reason(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["reason"])
    except (ValueError, TypeError, KeyError):
        return "a learning cycle has the GPU to itself"
