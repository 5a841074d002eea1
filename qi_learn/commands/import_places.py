"""Which project a directory in a log means: on this machine, and where it lies by now.

A log names directories as they were. The person may say that all of it is of one project, or that
what was in a directory is in another by now. The invariant: a directory of no registered project
means none, and no rule of `.qi-learn-ignore` is overruled by a log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore
from qi_learn.workspace.registry import place_of, project_of

Moved = tuple[Path, Path]
"""A directory as a log names it, and where it lies by now."""


def registered_project(paths: Paths, directory: Path) -> str:
    """The project that a directory means. Raises SettingsError if it is not registered."""
    project = project_of(paths, directory)
    if project is None:
        meant = place_of(paths, directory) or directory
        raise SettingsError(
            f"{directory} lies in no registered project.", f"Run `qi-learn init {meant}` first."
        )
    return str(project)


@dataclass(slots=True)
class ImportPlaces:
    """The places of one import; what was looked up is remembered."""

    paths: Paths
    project: str | None = None
    """The project of all that is imported; None: as its directories say."""
    moved: tuple[Moved, ...] = ()
    _registered: dict[str, str | None] = field(default_factory=dict)
    _rules: dict[str, QiLearnIgnore] = field(default_factory=dict)

    def now(self, directory: str) -> str:
        """Where what was in a directory lies by now."""
        for then, now in self.moved:
            if directory == str(then) or directory.startswith(f"{then}/"):
                return str(now) + directory[len(str(then)) :]
        return directory

    def registered(self, directory: str) -> str | None:
        """The registered project that holds a directory of a log."""
        if directory not in self._registered:
            found = None
            with suppress(ValueError, RuntimeError):  # no name of a file; links in a ring
                place = Path(self.now(directory))
                if place.is_absolute():  # else it counts from where somebody else stood
                    found = project_of(self.paths, place)
            self._registered[directory] = None if found is None else str(found)
        return self._registered[directory]

    def project_of(self, directory: str | None) -> str | None:
        """The project of what a log tells of a directory."""
        if self.project is not None or directory is None:
            return self.project
        return self.registered(directory)

    def leaves_out(self, project: str | None, files: Iterable[str]) -> bool:
        """Whether one of these files (seen from their project) is not to be looked at."""
        if project is None:
            return False
        rules = self._rules.setdefault(project, QiLearnIgnore(project))
        named = {os.path.normpath(os.path.join(project, file)) for file in files}
        return rules.allowed(named) != named
