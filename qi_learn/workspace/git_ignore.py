"""By what git decides which files of a working tree it leaves out.

A `.gitignore` in the tree is a file like any other, whose change is told. The others are looked at:
the repository's own list, the person's list for all repositories and the settings that name it,
with all that they include, and what lies above a project that is a part of a repository.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from qi_learn.outside.git_rules import rule_settings, settings_files
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
        self._whole = git_dir.parent if git_dir.name == ".git" else top
        self._first = (f"{common}/config", f"{git_dir}/config.worktree", *settings_files())
        self._included: tuple[str, ...] = ()
        self._asked: dict[str, int] = {}
        self._listed = ""
        self._rules: dict[str, int] = {}
        self.elsewhere: dict[str, int] = {}
        """The files whose change no event tells, and when the last stamp found them changed."""
        self.changed_at = 0.0
        """When they were changed for the last time, at the latest: what was written before had been
        left out.
        """
        self._looked_at = 0.0

    def stamp(self) -> tuple[int, ...]:
        """What changes if git may leave out other files. Raises NotFound if git does not answer."""
        before, self._looked_at = self._looked_at, time.time()
        settings = _changed(*self._first, *self._included)
        if settings != self._asked:
            found = rule_settings(self._top, self._whole)
            more = [file for file in found.files if file not in self._first]
            self._listed, self._included = found.excludes, tuple(more)
            there = _changed(*self._first, *more)
            self._asked = {file: settings.get(file, at) for file, at in there.items()}
        rules = _changed(self._own, self._listed, *self._above)
        decide = self._asked | rules
        if decide != self._rules:
            others = {file for file, _ in decide.items() ^ self._rules.items()}
            self.changed_at = _changed_at(others, since=before)
            self._rules = decide
            self.elsewhere = {file: at for file, at in decide.items() if not self._is_told(file)}
        return tuple(rules.values())

    def _is_told(self, file: str) -> bool:
        """Whether a file is no link and lies in a directory of the repository's that is watched."""
        return file in (self._own, *self._first[:2]) and not os.path.islink(file)


def _changed(*files: str) -> dict[str, int]:
    return {file: changed_ns(file) for file in files}


def _changed_at(files: Iterable[str], *, since: float) -> float:
    """When the newest change of rules was made; now if their times do not tell of one since then.

    One that is gone tells by its directory. A link that points at an older file may not tell.
    """
    newest = max(map(_put_ns, files), default=0) / 1e9
    return newest if newest > since else time.time()


def _put_ns(file: str) -> int:
    """When a file, or the link in its place, was put there or was changed, or was taken away."""
    link = os.lstat(file).st_ctime_ns if os.path.islink(file) else 0
    return max(changed_ns(file), link) or changed_ns(os.path.dirname(file))


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

    def changed(self, known: Iterable[tuple[str, int]]) -> bool:
        """Whether a file changed since the last look at it, or since it was known by that time."""
        self.due = time.monotonic() + LOOK_SECONDS
        pairs = set(known)
        now = _changed(*{file for file, _ in pairs})
        before, self._seen = self._seen, now
        return any(before.get(file, at) != now[file] for file, at in pairs)
