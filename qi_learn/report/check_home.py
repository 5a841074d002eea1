"""Check of where the home lies: whether what is recorded can be kept there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from qi_learn.errors import DiskFull, QiError
from qi_learn.outside.mounts import MOUNTS, refuse_shared_home
from qi_learn.paths import ELSEWHERE, Paths, refuse_unusable
from qi_learn.report.finding import Finding
from qi_learn.settings import Settings

ROOM_BYTES = 1 << 20
"""A disk with less room than this is full: a recorded answer may have as much."""


def home(paths: Paths, settings: Settings, *, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """The home: on this machine's own disk, the user's, writable, with room.

    Nothing is made or written to find it out. Of each kind of fault the first place is named.
    """
    problems = list(_problems(paths, mounts))
    for problem in problems:
        yield Finding("home", False, problem.what, problem.hint)
    if not problems:
        yield Finding("home", True, f"The home can be written to: {paths.data}, {paths.state}.")


def _problems(paths: Paths, mounts: Path) -> Iterator[QiError]:
    directories = (paths.config, paths.data, paths.state, paths.runtime)
    try:
        refuse_shared_home(paths, mounts=mounts)
    except QiError as error:
        yield error
    for refuse in (refuse_unusable, _refuse_full):
        try:
            for directory in directories:
                refuse(directory)
        except QiError as error:
            yield error


def _refuse_full(directory: Path) -> None:
    """Raise DiskFull if the disk that holds the directory has no room for a file or for a turn."""
    place = directory
    while not os.path.exists(place):  # unlike Path's, False for what may not be looked at
        place = place.parent
    disk = os.statvfs(place)
    if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
        raise DiskFull(
            f"The disk that holds {directory} is full: what is recorded is lost.",
            f"Make room there, at once. {ELSEWHERE}",
        )
    if disk.f_files and not disk.f_favail:
        raise DiskFull(
            f"The disk that holds {directory} takes no more files: what is recorded is lost.",
            f"Delete files there. {ELSEWHERE}",
        )
