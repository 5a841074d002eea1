"""By what git decides which files of a working tree it leaves out.

A `.gitignore` in the tree is a file like any other, whose change is told. The others are looked at:
the repository's own list, the person's list for all repositories and the settings that name it, and
what lies above a project that is a part of a repository.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from qi_learn.outside.git_rules import excludes_file, settings_files
from qi_learn.workspace.object_age import changed_ns

NAME = ".gitignore"
LOOK_SECONDS = 5.0
"""Seconds between two looks at the rules whose change no event tells."""


class GitIgnore:
    """What a working tree's git decides by, of which `top` is the whole or a directory within."""

    def __init__(self, top: Path, git_dir: Path, common: Path) -> None:
        self._top = top
        self._own = f"{common}/info/exclude"
        self._above = _above(top, git_dir)
        self._persons = settings_files()
        self._settings = (f"{common}/config", f"{git_dir}/config.worktree", *self._persons)
        self._asked: tuple[int, ...] | None = None
        self._listed = ""

    def stamp(self) -> tuple[int, ...]:
        """What changes if git may leave out other files. Raises NotFound if git does not answer."""
        settings = tuple(changed_ns(file) for file in self._settings)
        if settings != self._asked:
            self._listed = excludes_file(self._top)
            self._asked = settings
        return tuple(changed_ns(file) for file in (self._own, self._listed, *self._above))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Those of the files whose change no event tells."""
        return (*self._persons, *((self._listed,) if self._listed else ()), *self._above)


def _above(top: Path, git_dir: Path) -> tuple[str, ...]:
    whole = git_dir.parent
    if git_dir.name != ".git" or whole not in top.parents:
        return ()
    above = [each for each in top.parents if each == whole or whole in each.parents]
    return tuple(f"{each}/{NAME}" for each in above)


def is_rule(name: str) -> bool:
    """Whether a file in a tree says what git leaves out there."""
    return name == NAME or name.endswith(f"/{NAME}")


class RulesElsewhere:
    """Notices that rules changed of which no event tells."""

    def __init__(self) -> None:
        self.due = 0.0
        """When to look again, by the monotonic clock."""
        self._seen: dict[str, int] = {}

    def changed(self, files: Iterable[str]) -> bool:
        """Whether one of the files changed since the last look at it."""
        self.due = time.monotonic() + LOOK_SECONDS
        now = {file: changed_ns(file) for file in files}
        before, self._seen = self._seen, now
        return any(before.get(file, at) != at for file, at in now.items())
