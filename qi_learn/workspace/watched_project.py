"""One project under watch: its files' texts, what is due to be read, and what git does in it."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.errors import ToolMissing
from qi_learn.outside import git
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.files import plain_name
from qi_learn.workspace.reflog import Reflog

logger = logging.getLogger(__name__)
LOCK_SECONDS = 10.0
"""Age up to which git's `index.lock` says that git is writing into the tree; an older one was left
behind.
"""
HEAD_SECONDS = 0.5
"""Seconds after its last write to the index in which git may still move HEAD, which tells who wrote
the files' texts. Until then they are not read.
"""


@dataclass(slots=True)
class WatchedProject:
    """The state of a project under watch."""

    root: Path
    added: float
    """When watching began."""
    repository: Path | None = None
    """The repository's own directory, if it has one."""
    files: dict[Path, FileHistory] = field(default_factory=dict)
    pending: dict[Path, float] = field(default_factory=dict)
    """Files that may have changed, and when they are to be read."""
    ignored: dict[Path, bool] = field(default_factory=dict)
    """What git said of files that are not among `files`."""
    reflog: Reflog | None = None

    def find_repository(self, *, since: float | None = None) -> None:
        """Look for the project's repository.

        A project that becomes one while it is watched reports its commits `since` then.
        """
        try:
            self.repository = git.git_directory(self.root)
        except ToolMissing as error:
            logger.warning("commits in %s are not seen: %s", self.root, error.what)
        self.reflog = None if self.repository is None else Reflog(self.repository, since=since)

    def watched(self, paths: list[Path]) -> list[Path]:
        """The paths that are looked at, by their names and by what git ignores.

        git is asked once per file, and again when a `.gitignore` changes.
        """
        named = [p for p in paths if plain_name(p.relative_to(self.root))]
        if self.repository is None:
            return named
        if any(p.name == ".gitignore" for p in named):
            self.ignored.clear()
        unknown = [p for p in named if p not in self.files and p not in self.ignored]
        names = {path: str(path.relative_to(self.root)) for path in unknown}
        ignored = git.ignored(self.root, names.values())
        self.ignored.update({path: name in ignored for path, name in names.items()})
        return [p for p in named if not self.ignored.get(p, False)]

    def git_is_writing(self) -> bool:
        """Whether git is writing into the tree."""
        return self._age("index.lock") < LOCK_SECONDS

    def head_may_move(self) -> bool:
        """Whether git wrote its index just now.

        A checkout lets go of `index.lock` a moment before it says what it did.
        """
        return abs(self._age("index")) < HEAD_SECONDS

    def _age(self, name: str) -> float:
        """Seconds since git wrote a file of its own; infinite if there is none.

        Below 0 after the clock was put back.
        """
        if self.repository is None:
            return math.inf
        try:
            return time.time() - (self.repository / name).stat().st_mtime
        except OSError:
            return math.inf
