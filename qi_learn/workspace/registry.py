"""The projects that are watched: a JSON list of directories.

`qi-learn init` writes it, and the daemon reads it when it changes. The shells' hooks read it too,
line by line, so each path stands as it is on a line of its own: letters are never escaped, and a
path with control characters is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths, replace_file

_CONTROL = r"[\x00-\x1f\x7f]"


def load_projects(paths: Paths) -> tuple[Path, ...]:
    """The registered projects in the order of registration.

    Raises SettingsError if the file is damaged, OSError if it cannot be read.
    """
    try:
        listed = json.loads(paths.projects.read_text(encoding="utf-8", errors="surrogateescape"))
        if not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
            raise ValueError("it is not a list of directories")
    except FileNotFoundError:
        return ()
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"The list of projects {paths.projects} cannot be read: {error}",
            "Delete it and run `qi-learn init PATH` for each project.",
        ) from error
    return tuple(Path(p) for p in listed)


def add_project(paths: Paths, project: Path) -> bool:
    """Register a directory, without links in its path; False if it was registered before.

    Raises SettingsError if it cannot be a project or the list is damaged, OSError if the list
    cannot be written.
    """
    real = _project_directory(project)
    registered = load_projects(paths)
    if real in (p.resolve() for p in registered):
        _write(paths, registered)
        return False
    _write(paths, (*registered, real))
    return True


def remove_project(paths: Paths, project: Path) -> bool:
    """Take a directory off the list, whether it still exists or not; False if it was not on it.

    Raises SettingsError if the list is damaged, OSError if it cannot be written.
    """
    registered = load_projects(paths)
    real = project.resolve()
    kept = tuple(p for p in registered if p != project and p.resolve() != real)
    if len(kept) == len(registered):
        return False
    _write(paths, kept)
    return True


def project_of(paths: Paths, path: Path) -> Path | None:
    """The registered project that holds `path` (the innermost one), or None.

    A working tree of git that lies elsewhere belongs to the project of its repository. Raises
    SettingsError if the list is damaged.
    """
    real = path.resolve()
    projects = load_projects(paths)
    return _holding(projects, real) or next(
        (found for main in _in_main_tree(real) if (found := _holding(projects, main))), None
    )


def _holding(projects: tuple[Path, ...], real: Path) -> Path | None:
    holding = [p for p in projects if real.is_relative_to(p.resolve())]
    return max(holding, key=lambda p: len(p.parts), default=None)


def _in_main_tree(real: Path) -> Iterator[Path]:
    """What a path in a linked working tree is in the main one; nothing if it is in none.

    By the file that git puts at the top of a linked tree: this takes no process.
    """
    for above in (real, *real.parents):
        if not os.path.lexists(above / ".git"):
            continue
        try:
            told = (above / ".git").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:  # a directory: the repository itself
            return
        own = above / told.removeprefix("gitdir:").strip()
        if own.parent.name == "worktrees":  # .git/worktrees/NAME
            main = own.parent.parent.parent.resolve()
            yield main / real.relative_to(above)
        return


def place_of(paths: Paths, directory: Path) -> Path | None:
    """What "the last answer" asked for in a directory is the last of.

    The registered project, else the repository, so that another project's answer is not taken for
    one of it. None outside both: then the last answer of all is meant. Raises SettingsError.
    """
    project = project_of(paths, directory)
    if project is not None:
        return project
    real, home = directory.resolve(), Path.home().resolve()
    above = (d for d in (real, *real.parents) if os.path.lexists(d / ".git"))
    top = next(above, None)
    return None if top in (None, home, Path(real.anchor)) else top


def _project_directory(project: Path) -> Path:
    """The real path of a directory that may be a project. Raises SettingsError if it may not."""
    real = project.resolve()
    todo = "Give the directory of a project."
    if not real.is_dir():
        raise SettingsError(f"{project} is not a directory.", todo)
    if real == Path(real.anchor) or Path.home().resolve().is_relative_to(real):
        raise SettingsError(
            f"{real} is no project: everything below it would be watched and recorded.", todo
        )
    if re.search(_CONTROL, os.fspath(real)):
        raise SettingsError(
            f"The path {os.fspath(real)!r} has a line break or another control character in it.",
            "Rename the directory, then register it.",
        )
    return real


def _write(paths: Paths, projects: tuple[Path, ...]) -> None:
    listed = json.dumps([str(p) for p in projects], indent=1, ensure_ascii=False)
    replace_file(paths.projects, listed + "\n")
