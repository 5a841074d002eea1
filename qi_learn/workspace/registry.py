"""The projects that are watched: a JSON list of directories.

`qi-learn init` writes it, and the daemon reads it when it changes.
"""

from __future__ import annotations

import json
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths, replace_file


def load_projects(paths: Paths) -> tuple[Path, ...]:
    """The registered projects in the order of registration.

    Raises SettingsError if the file is damaged, OSError if it cannot be read.
    """
    try:
        listed = json.loads(paths.projects.read_text(encoding="utf-8"))
        if not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
            raise ValueError("it is not a list of directories")
    except FileNotFoundError:
        return ()
    except ValueError as error:
        raise SettingsError(
            f"The list of projects {paths.projects} cannot be read: {error}",
            "Delete it and run `qi-learn init PATH` for each project.",
        ) from error
    return tuple(Path(p) for p in listed)


def add_project(paths: Paths, project: Path) -> bool:
    """Register a directory; False if it was registered before.

    Raises SettingsError if the list is damaged, OSError if it cannot be written.
    """
    registered = load_projects(paths)
    if project in registered:
        return False
    listed = [str(p) for p in (*registered, project)]
    replace_file(paths.projects, json.dumps(listed, indent=1) + "\n")
    return True


def project_of(paths: Paths, path: Path) -> Path | None:
    """The registered project that holds `path` (the innermost one), or None.

    Raises SettingsError if the list is damaged.
    """
    real = path.resolve()
    holding = [p for p in load_projects(paths) if real.is_relative_to(p.resolve())]
    return max(holding, key=lambda p: len(p.parts), default=None)
