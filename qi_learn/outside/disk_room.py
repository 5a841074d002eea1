"""Whether the disk that holds a directory has room for what is recorded."""

from __future__ import annotations

import os
from pathlib import Path

from qi_learn.errors import DiskFull
from qi_learn.paths import ELSEWHERE, Paths, refuse_unusable_home

ROOM_BYTES = 1 << 20
"""A disk with less room than this is full: a recorded answer may have as much."""


def refuse_full_home(paths: Paths) -> None:
    """Raise StoreError if the home cannot be used, DiskFull if it has no room; makes nothing."""
    refuse_unusable_home(paths)
    refuse_full(paths.state)
    refuse_full(paths.data)


def refuse_full(directory: Path) -> None:
    """Raise DiskFull if the disk that holds the directory has no room for a file or for a turn."""
    place = directory
    while not os.path.exists(place):  # unlike Path's, False for what may not be looked at
        place = place.parent
    disk = os.statvfs(place)
    if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
        raise DiskFull(
            f"The disk that holds {directory} is full: what finds no room is lost.",
            f"Make room there, at once. {ELSEWHERE}",
        )
    if disk.f_files and not disk.f_favail:
        raise DiskFull(
            f"The disk that holds {directory} takes no more files: what finds no room is lost.",
            f"Delete files there. {ELSEWHERE}",
        )
