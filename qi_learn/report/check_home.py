"""Check of where the home lies: whether what is recorded can be kept there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qi_learn.errors import QiError
from qi_learn.outside.disk_room import refuse_full
from qi_learn.outside.mounts import MOUNTS, refuse_shared_home
from qi_learn.paths import Paths, refuse_unusable
from qi_learn.report.finding import Finding
from qi_learn.settings import Settings


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
    for refuse in (refuse_unusable, refuse_full):
        try:
            for directory in directories:
                refuse(directory)
        except QiError as error:
            yield error
