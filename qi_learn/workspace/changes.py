"""What the watcher reports: a file was saved, HEAD moved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileSaved:
    """A file of a project has another text now; "" if it is gone."""

    project: str
    path: Path
    text: str
    ts: float
    top: str = ""
    """The directory that `file` is relative to, if it is not the project: a working tree of the
    project's repository that lies elsewhere.
    """
    partly: bool = False
    """Whether files of the project are left out by the person's rules: what is not found may be in
    one of them.
    """
    taken_back: bool = False
    """Whether git brought back what HEAD has (`git restore`), or may have brought it back from
    elsewhere (`git restore --source`): it is no place of an answer.
    """

    @property
    def file(self) -> str:
        """The path within the project, with `/`."""
        return self.path.relative_to(self.top or self.project).as_posix()

    @property
    def place(self) -> str:
        """The path from the project, with `/`; it begins with `..` if the file lies elsewhere."""
        return os.path.relpath(self.path, self.project)


@dataclass(frozen=True, slots=True)
class Committed:
    """HEAD moved: by a commit, or by what `action` says.

    `files` (within the project) are those that differ between `previous` and `commit`.
    """

    project: str
    commit: str
    files: tuple[str, ...]
    action: str
    ts: float
    previous: str = ""
    top: str = ""
    """The working tree whose HEAD moved, if it is not the project itself: a submodule, another
    working tree. Its repository is the one that knows `commit`.
    """

    @property
    def tree(self) -> Path:
        """The working tree whose HEAD moved, as a directory."""
        return Path(self.top or self.project)

    def name_of(self, place: str) -> str | None:
        """The name within the tree of a file, given by its path from the project.

        None if it lies in another tree: beside this one, or in one within it.
        """
        path = os.path.normpath(os.path.join(self.project, place))
        tree = str(self.tree)
        if not path.startswith(tree.rstrip("/") + "/"):
            return None
        above = os.path.dirname(path)
        while len(above) > len(tree):
            if os.path.lexists(f"{above}/.git"):
                return None
            above = os.path.dirname(above)
        return os.path.relpath(path, tree)

    @property
    def names(self) -> tuple[str, ...]:
        """The names within the tree of `files`; without those that lie in a tree within it."""
        if self._is_elsewhere:
            return self.files
        return tuple(name for name in map(self.name_of, self.files) if name is not None)

    def changed(self, name: str) -> bool:
        """Whether a file, by its name within the tree, is among `files`."""
        if not self.top or self._is_elsewhere:
            return name in self.files
        return f"{os.path.relpath(self.top, self.project)}/{name}" in self.files

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the tree lies outside the project: then `files` are its own names."""
        return bool(self.top) and os.path.relpath(self.top, self.project).startswith("..")
