"""What the watcher reports: a file was saved, HEAD moved."""

from __future__ import annotations

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

    @property
    def file(self) -> str:
        """The path within the project, with `/`."""
        return self.path.relative_to(self.top or self.project).as_posix()


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
