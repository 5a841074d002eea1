"""The registered projects, kept under watch: those that are there, and no other."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from qi_learn.daemon.standing import Standing
from qi_learn.errors import QiError, SettingsError
from qi_learn.paths import Paths
from qi_learn.records.watching import WatchState
from qi_learn.score.names_index import OutdatedIndexes
from qi_learn.step_guard import StepGuard
from qi_learn.workspace.registry import load_projects
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
BEHIND_SECONDS = 300.0
"""Seconds for which the catching up of a project keeps the results of its commands waiting."""
THERE_SECONDS = 5.0
"""Seconds between two looks whether the directories are there."""


class FollowedProjects:
    """Has the watcher watch what is registered; for the daemon's loop."""

    def __init__(self, paths: Paths, guard: StepGuard, standing: Standing, *, wait: bool) -> None:
        """`wait`: whether `follow` waits until a new project is read."""
        self._paths = paths
        self._guard = guard
        self._standing = standing
        self._wait = wait
        self._listed: tuple[Path, ...] = ()
        self._listed_at = -1
        self._due = float("-inf")
        self._watched: set[Path] = set()
        self._indexes = OutdatedIndexes(paths.names)
        self._behind: dict[str, float] = {}
        """By project that is caught up: until when that is waited for."""

    def follow(self, watcher: Watcher) -> None:
        """Watch the directories that are registered and there.

        One that cannot be watched is reported once, and keeps nothing else waiting. What was noted
        of files that a project's rules leave out by now goes. A list that was
        written again is a person's `qi-learn init`: git is asked anew where it refused before.
        """
        changed, now = self._list_changed(), time.monotonic()
        if not changed and now < self._due:
            return
        self._due = now + THERE_SECONDS
        # os.path.isdir never raises, unlike Path.is_dir
        there = [p for p in self._listed if os.path.isdir(p)]
        self._indexes.drop(there)
        for project in self._watched.difference(there):
            self._watched.remove(project)
            watcher.remove(project)
        if changed and self._watched:
            watcher.retry_refused()
        for project in [p for p in there if p not in self._watched]:
            self._watched.add(project)
            with self._guard.step("project", project, QiError, OSError):
                stood = self._standing.of(project)
                if stood is not None:
                    self._behind[str(project)] = now + BEHIND_SECONDS
                watcher.add(project, wait=self._wait, stood=stood)

    @property
    def count(self) -> int:
        """How many are watched."""
        return len(self._watched)

    @property
    def behind(self) -> frozenset[str]:
        """The projects of which it is not told yet what happened while nothing watched them."""
        now = time.monotonic()
        return frozenset(project for project, until in self._behind.items() if now < until)

    def caught_up(self, projects: Iterable[str]) -> None:
        """Take it that all that happened in these projects is told."""
        for project in projects:
            self._behind.pop(project, None)

    def follow_anew(self) -> None:
        """Take it that the watcher is another one, which watches nothing yet."""
        self._watched.clear()
        self._due = float("-inf")

    def hold(self, directory: str) -> bool:
        """Whether a directory is that of a watched project, or in it."""
        path = Path(directory)
        return any(p == path or p in path.parents for p in self._watched)

    def watching(self, watcher: Watcher) -> tuple[WatchState, ...]:
        """How every registered project is watched; any thread may ask."""
        known = {state.project: state for state in watcher.states()}
        return tuple(known.get(str(p)) or _not_watched(p) for p in self._listed)

    def _list_changed(self) -> bool:
        """Read the list if it was written since; whether it was."""
        try:
            written = self._paths.projects.stat().st_mtime_ns
        except FileNotFoundError:
            written = 0
        if written == self._listed_at:
            return False
        self._listed_at = written
        try:
            self._listed = load_projects(self._paths)
        except (SettingsError, OSError) as error:
            logger.warning("the projects watched stay as they were: %s", error)
        return True


def _not_watched(project: Path) -> WatchState:
    """The state of a registered project of which the watcher knows nothing."""
    if os.path.isdir(project):
        return WatchState(str(project), "starting")
    why = f"the directory is not there: `qi-learn init --remove {shlex.quote(str(project))}`"
    return WatchState(str(project), "blind", (why,))
