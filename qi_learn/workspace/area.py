"""A tree that is followed as one: a working tree of git, or a directory without git.

A project has one for itself, and one for each working tree of git within it: submodules, linked
working trees, other repositories. Names are paths with `/` below the area's top.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.outside import git
from qi_learn.outside.git_rules import tracked_ignored
from qi_learn.workspace.file_tree import FileTree
from qi_learn.workspace.files import (
    ODD_NAME,
    SKIPPED_DIRECTORIES,
    FileContent,
    plain_name,
    plain_text,
    read_content,
)
from qi_learn.workspace.git_ignore import is_rule
from qi_learn.workspace.object_age import changed_ns
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore
from qi_learn.workspace.repository_state import RepositoryState

_MOST_REMEMBERED = 10_000
"""Names of which it is remembered whether git ignores them."""

_MOST_SAVED = 1000
"""Saved files that are remembered for the next watcher."""


@dataclass(slots=True)
class Area:
    """A tree under watch."""

    top: str
    since: float
    """When watching began."""
    repository: RepositoryState | None = None
    refused: str | None = None
    """Why git does not open the repository: then nothing in it is looked at."""
    asked_at: float = 0.0
    """When git was asked for the repository, by the monotonic clock."""
    identity: tuple[int, int] | None = None
    """Which directory its top is: device and number."""
    outside: bool = False
    """Whether it does not lie within the project's directory."""
    files: FileTree = field(default_factory=FileTree)
    pending: set[str] = field(default_factory=set)
    """Files that are to be read."""
    missed: set[str] = field(default_factory=set)
    """Files that changed while nothing watched; their own times say when."""
    saved: set[str] = field(default_factory=set)
    """Files whose saves were told: the next watcher looks whether they are still there."""
    gone: set[str] = field(default_factory=set)
    """Directories that went or appeared: what git had in them is to be read."""
    appeared: set[str] = field(default_factory=set)
    """Directories that came or went when git did not answer: they are still to be looked at."""
    own_rules: QiLearnIgnore | None = None
    """What the person leaves out of the project."""
    set_aside: Counter[str] = field(default_factory=Counter)
    left_out: set[str] = field(default_factory=set)
    """The directories that git leaves out, by their paths."""
    still: tuple[int, ...] = ()
    """The times of git's files at a look that left nothing to do; empty if they do not tell."""
    rules_due: bool = False
    """Whether its rules changed, and what they leave out now is still to be asked."""
    ruled_at: float = 0.0
    """When they were changed, as far as the files tell; else when that was noticed."""
    _rules: tuple[int, ...] | None = None
    """The stamp of what git decides by, when it was last looked whether that changed."""
    _forced: tuple[str, ...] | None = None
    """The files that git has though it would leave them out; None if not asked yet."""
    _confirmed: set[str] | None = None
    """Files with a history that the rules do not leave out since they changed; None if they never
    did.
    """
    _left_out: dict[str, bool] = field(default_factory=dict)
    """By file: whether git leaves it out. What it only refuses to speak of is not kept."""
    _ruled: tuple[int, ...] = ()
    """The stamp of what git decides by, at which these answers were given."""

    def is_still(self) -> bool:
        """Whether nothing is to be done in it, and git did nothing since it was looked at."""
        if self.repository is None or self.pending or self.gone or self.appeared or self.rules_due:
            return False
        return bool(self.still) and self.still == self.repository.still()

    def shift(self, seconds: float) -> None:
        """Go by a clock that was set by so many seconds."""
        self.since += seconds
        if self.repository is not None:
            self.repository.shift(seconds)
        for _, history in self.files.below():
            history.shift(seconds)

    def name_of(self, path: str) -> str:
        """The name of a path within the area."""
        return path[len(self.top.rstrip("/")) + 1 :]

    def path_of(self, name: str) -> str:
        """The path of a name."""
        return f"{self.top.rstrip('/')}/{name}"

    def watched(self, names: Iterable[str], *, known: Iterable[str] = ()) -> list[str]:
        """The names that are looked at, by themselves and by what git ignores.

        git is asked once for each, and again when what it decides by changes: its index, a
        `.gitignore`, its own list. It has `known` already.
        """
        plain = [name for name in names if self._plain(name)]
        rules = any(is_rule(name) for name in plain)
        plain = self._allowed(plain)
        if self.repository is None:
            return plain
        ruled = self.repository.rules_stamp()
        if ruled != self._ruled or rules:
            self._left_out.clear()
            self._ruled = ruled
        had = set(known)
        asked = [
            name
            for name in plain
            if name not in had and name not in self._left_out and not self._is_known(name)
        ]
        left_out = git.ignored(Path(self.top), asked)
        if len(self._left_out) > _MOST_REMEMBERED:
            self._left_out.clear()
        remembered = self._left_out | {name: name in left_out for name in asked}
        kept = [name for name in asked if name not in left_out or self._is_own(name)]
        self._left_out.update({name: remembered[name] for name in kept})
        if self._confirmed is not None:
            self._confirmed |= {n for n in asked if n not in left_out and self.files.get(n)}
        return [name for name in plain if not remembered.get(name, False)]

    def look_at_rules(self) -> bool:
        """Whether git may leave out other directories than when it was last asked for them.

        Raises NotFound if git does not answer.
        """
        if self.repository is None:
            return False
        stamp = self.repository.rules_stamp()
        changed = [changed_ns(self.path_of(n)) / 1e9 for n in self.pending if is_rule(n)]
        if self._rules is not None and stamp != self._rules:
            if stamp[1:] != self._rules[1:]:
                changed.append(self.repository.rules.changed_at)
            forced = tracked_ignored(Path(self.top))
            if forced != self._forced:
                changed.append(stamp[0] / 1e9)
            self._forced = forced
        self._rules = stamp
        if changed:
            self.ruled_at = max(changed) if all(changed) else time.time()  # one is gone
            self.rules_due, self._confirmed = True, set()
            self._left_out.clear()
        return self.rules_due

    def note_save(self, name: str, text: str) -> None:
        """Note that a save was told."""
        self.saved.discard(name)
        if text and len(self.saved) < _MOST_SAVED:
            self.saved.add(name)

    def forget_ignored(self) -> None:
        """Have git asked again of every file that is not known."""
        self._left_out.clear()

    def ignored_directories(self, *below: str) -> set[str]:
        """The paths of the directories that git ignores, in all or in some directories."""
        if self.repository is None:
            return set()
        found = git.ignored_directories(Path(self.top), *below)
        return {self.path_of(name) for name in found}

    def linked_tops(self) -> set[str]:
        """Where the working trees lie that are linked to its repository. Raises NotFound."""
        if self.repository is None:
            return set()
        try:
            within = Path(self.top).resolve().relative_to(self.repository.whole or self.top)
        except ValueError:
            within = Path()
        return {str(top / within) for top in git.linked_trees(self.repository.common)}

    def read(self, names: Iterable[str]) -> dict[str, FileContent]:
        """What the files hold, of those that are no links and lie beyond none."""
        return dict(self.read_each(names))

    def read_each(self, names: Iterable[str]) -> Iterator[tuple[str, FileContent]]:
        """The same one by one, so that many need not be held at once."""
        safe: dict[str, bool] = {}
        for name in names:
            directory = name.rpartition("/")[0]
            if directory not in safe:
                safe[directory] = self._without_links(directory)
            if not safe[directory]:
                continue
            content = read_content(self.path_of(name))
            if content.reason:
                self.set_aside[content.reason] += 1
            yield name, content

    def _is_known(self, name: str) -> bool:
        """Whether a file has a history, and is not left out by rules that changed since."""
        if self.files.get(name) is None:
            return False
        return self._confirmed is None or name in self._confirmed

    def _allowed(self, names: list[str]) -> list[str]:
        """Those of the names that the person's own rules do not leave out."""
        if self.own_rules is None or not self.own_rules.any:
            return names
        # another working tree of the repository has the project's rules from its own top
        linked = self.repository is not None and self.repository.linked
        top = self.own_rules.root if linked else self.top
        paths = {name: f"{top.rstrip('/')}/{name}" for name in names}
        allowed = self.own_rules.allowed(paths.values())
        return [name for name in names if paths[name] in allowed]

    def _plain(self, name: str) -> bool:
        if not name or not plain_name(name):
            return False
        if plain_text(name):
            return True
        self.set_aside[ODD_NAME] += 1
        return False

    def _is_own(self, name: str) -> bool:
        """Whether a file lies neither beyond a link nor in another repository, for now."""
        directory = name.rpartition("/")[0]
        if not self._without_links(directory):
            return False
        above = [Path(directory), *Path(directory).parents][:-1] if directory else []
        return not any(os.path.lexists(f"{self.top}/{each}/.git") for each in above)

    def _without_links(self, directory: str) -> bool:
        """Whether no part of a directory's path within the area is a link."""
        path = self.top
        for part in directory.split("/") if directory else []:
            path = f"{path}/{part}"
            if os.path.islink(path):
                return False
        return True


def skipped(name: str) -> bool:
    """Whether a directory is left out by its name, or that of one above it."""
    return bool(SKIPPED_DIRECTORIES & set(name.split("/")))
