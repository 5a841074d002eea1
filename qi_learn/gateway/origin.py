"""Which project a directory belongs to, and whether what comes from there is recorded.

A registered project has its directory, what is below it, and the other working trees of its
repository, which git links to it by a file. A directory that says nothing is in no project, and
what comes from there is recorded: the root, the home, what a program calls its own (many editors
start there). Any other directory is known and in no registered project: what comes from there is
not recorded, unless `capture.unregistered` wants it. Nor is it while the list of projects cannot be
read: it may be from a project that no one registered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.workspace.registry import load_projects

_PROGRAMS_OWN = (
    *("/usr", "/opt", "/snap", "/app", "/nix", "/bin", "/lib", "/etc", "/run", "/proc", "/var/lib"),
    *("/Applications", "/System", "/Library", "/private/var/folders"),
)
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    project: str | None = None
    """None if that is not known."""
    left_out: str = ""
    """The reason why it is not recorded (`counters.NOT_RECORDED`); empty if it is."""


NOWHERE = Origin()
"""Nothing is known of where a request comes from."""


class Origins:
    """The origins of directories by the list of projects, which is read again when it changes.

    For the gateway's loop, if `has` says that a directory is remembered, and for a thread else.
    """

    def __init__(self, paths: Paths, unregistered: Callable[[], bool]) -> None:
        """`unregistered`: whether what comes from no registered project is recorded now."""
        self._paths = paths
        self._unregistered = unregistered
        self._seen: tuple[int, int, int] | None = None
        self._projects: dict[str, tuple[str | None, bool]] = {}
        """By directory: its project, and whether it is known to lie in no registered one."""

    def has(self, directory: str) -> bool:
        """Whether the origin of a directory is remembered."""
        return directory in self._projects and self._stamp() == self._seen

    def of(self, directory: Path) -> Origin:
        """The origin of a request from a directory."""
        stamp = self._stamp()
        if stamp != self._seen or len(self._projects) > MOST_REMEMBERED:
            self._seen, self._projects = stamp, {}
        name = os.fspath(directory)
        if name not in self._projects:
            try:
                self._projects[name] = self._find(directory)
            except (SettingsError, OSError):  # not remembered: its time is the same once it is read
                unknown = not self._unregistered() and not says_nothing(_real(directory))
                return Origin(None, "unknown_projects" if unknown else "")
        project, stray = self._projects[name]
        if stray and not self._unregistered():
            return Origin(None, "unregistered")
        return Origin(project)

    def _find(self, named: Path) -> tuple[str | None, bool]:
        """Raises SettingsError or OSError if the list of projects cannot be read."""
        if not named.is_absolute():
            return None, False  # it says nothing: it is not our own directory that it counts from
        directory = _real(named)
        registered = load_projects(self._paths)
        if (project := registered_project(directory, registered)) is not None:
            return project, False
        if says_nothing(directory):
            return None, False
        return repository_at(directory) or str(directory), True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._paths.projects)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)


def registered_project(directory: Path, registered: Sequence[Path]) -> str | None:
    """The registered project that a directory is in, the innermost; None if there is none.

    A working tree that git has linked to a registered repository is in that project.
    """
    for place in (directory, _main_tree(directory)):
        holding = [p for p in registered if place is not None and place.is_relative_to(p)]
        if holding:
            return str(max(holding, key=lambda project: len(project.parts)))
    return None


def repository_at(directory: Path) -> str | None:
    """The top of the working tree that holds a directory; None if none does."""
    parents = (directory, *directory.parents)
    return next((str(parent) for parent in parents if os.path.exists(parent / ".git")), None)


def says_nothing(directory: Path) -> bool:
    """Whether a directory says nothing of what is worked on."""
    home = Path.home()
    if directory in (Path(directory.anchor), home) or not directory.is_absolute():
        return True
    if directory.is_relative_to(home):
        return directory.relative_to(home).parts[0].startswith(".")
    return any(directory.is_relative_to(own) for own in _PROGRAMS_OWN)


def _real(directory: Path) -> Path:
    return Path(os.path.realpath(directory))


def _main_tree(directory: Path) -> Path | None:
    """The working tree of the repository that the tree around a directory is linked to, if any.

    A linked tree has a file `.git` that names its directory in the repository.
    """
    top = repository_at(directory)
    if top is None:
        return None
    try:
        words = Path(top, ".git").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None  # a repository of its own
    linked = Path(top, words.removeprefix("gitdir:").strip())
    git_dir = next((parent for parent in linked.parents if parent.name == ".git"), None)
    return None if git_dir is None else git_dir.parent
