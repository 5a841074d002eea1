"""The thread that looks where the inbox says, area by area.

Nothing that one area, file or project does keeps the others from being looked at: each is a step of
its own. What cannot be looked at is tried in halves until the one that is to blame is found, which
is dropped and counted. If git does not answer, it is asked again later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qi_learn.errors import QiError
from qi_learn.workspace.area import Area
from qi_learn.workspace.area_look import look
from qi_learn.workspace.areas import Areas
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.clock_watch import ClockWatch
from qi_learn.workspace.following_rules import follow_rules
from qi_learn.workspace.git_ignore import RulesElsewhere
from qi_learn.workspace.inbox import Inbox, Marks
from qi_learn.workspace.watched_project import WatchedProject

logger = logging.getLogger(__name__)
SOON_SECONDS = 0.05
"""Seconds until a look is taken again if git was writing."""
FAILED_SECONDS = 5.0
"""Seconds for which an area is left alone after git did not answer; longer with each failure."""
LONGEST_SECONDS = 300.0
IDLE_SECONDS = 30.0
"""Seconds after which the heads of all areas are looked at though nothing was marked."""
REST_SECONDS = 0.5
"""Seconds for which an area is left alone at most after a look that took long."""
MOST_PENDING = 50_000
NOT_LOOKED_AT = "could not be looked at"
Change = FileSaved | Committed


class Reader:
    """Looks at the projects of `projects` from a thread of its own, and reports what it finds."""

    def __init__(
        self,
        inbox: Inbox,
        areas: Areas,
        projects: Callable[[], tuple[WatchedProject, ...]],
        shift: Callable[[WatchedProject, float], None],
        report: Callable[[WatchedProject, Callable[[], list[Change]]], None],
        clock: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._inbox, self._areas = inbox, areas
        self._projects, self._shift, self._report, self._clock = projects, shift, report, clock
        self._later: dict[int, float] = {}
        """By area: until when it is left alone."""
        self._failures: defaultdict[int, int] = defaultdict(int)
        self._idle_at = 0.0
        self._rules = RulesElsewhere()
        self._clock_watch = ClockWatch(steady)
        self._clock_watch.jump(clock())
        self._lost = False
        self._away: set[str] = set()
        """The roots that were not there after the last round."""
        self._thread = threading.Thread(target=self._run, name="qi-learn-watch", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still reads."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the thread's end, after its inbox was closed."""
        self._thread.join()

    def _run(self) -> None:
        while (marks := self._inbox.take(self._timeout())) is not None:
            idle = time.monotonic() >= self._idle_at
            if time.monotonic() >= self._rules.due and self._rules.changed(self._rule_files()):
                idle, marks.ruled = True, True
            if idle:
                self._idle_at = time.monotonic() + IDLE_SECONDS
            try:
                self._round(marks, idle=idle)
            except Exception:  # each step has a guard of its own, so this is a fault of ours
                logger.exception("a round failed; all is looked at again")
                self._lost, self._idle_at = True, time.monotonic() + FAILED_SECONDS

    def _round(self, marks: Marks, *, idle: bool) -> None:
        began = time.monotonic()
        if idle and self._lost:
            marks.lost, self._lost = True, False
        projects = self._projects()
        jump = self._clock_watch.jump(self._clock())
        for project in projects if jump else ():
            with self._step(project):
                self._shift(project, jump)
        touched = self._sort(marks, projects)
        for project in projects:
            if project.starting:
                self._put_back(project, marks, touched)
            else:
                self._look_at(project, marks, touched, idle=idle or marks.lost)
        self._away = {project.root for project in projects if not os.path.isdir(project.root)}
        # What was due before and was not looked at belongs to an area that is gone.
        self._later = {key: due for key, due in self._later.items() if due > began}

    def _timeout(self) -> float:
        due = min((self._idle_at, self._rules.due, *self._later.values()))
        return max(0.0, due - time.monotonic())

    def _rule_files(self) -> set[tuple[str, int]]:
        """The files of whose change no event tells, and by which git leaves files out.

        With each the time of its last change that its area knows.
        """
        areas = [a for project in self._projects() for a in tuple(project.areas.values())]
        known = (a.repository.rules.elsewhere for a in areas if a.repository is not None)
        return {pair for files in known for pair in files.items()}

    # --- from marks to areas ----------------------------------------------------------------------

    def _sort(
        self, marks: Marks, projects: tuple[WatchedProject, ...]
    ) -> dict[int, tuple[Area, list[str]]]:
        """Give marks to the areas that own them; returns the directories, by area."""
        owners = _Owners(projects)
        now = self._clock()
        directories: dict[int, tuple[Area, list[str]]] = {}
        for path in marks.files:
            found = owners.of(os.path.dirname(path))
            if found is not None:
                project, area = found
                project.last_event = now
                area.pending.add(area.name_of(path))
        for path in marks.directories:
            found = owners.of(os.path.dirname(path))
            if found is not None:
                project, area = found
                project.last_event = now
                directories.setdefault(id(area), (area, []))[1].append(area.name_of(path))
        return directories

    def _put_back(
        self,
        project: WatchedProject,
        marks: Marks,
        directories: dict[int, tuple[Area, list[str]]],
    ) -> None:
        """Keep the marks of a project whose first texts are still being read."""
        for area in tuple(project.areas.values()):
            for name in directories.get(id(area), (area, []))[1]:
                self._inbox.mark_directory(area.path_of(name))
        for top in marks.checkouts:
            if _owns(project, top):
                self._inbox.mark_checkout(top)

    def _look_at(
        self,
        project: WatchedProject,
        marks: Marks,
        directories: dict[int, tuple[Area, list[str]]],
        *,
        idle: bool,
    ) -> None:
        if idle or project.root in marks.checkouts or project.root in self._away:
            with self._step(project):
                self._areas.begin_anew_if_another(project)
        if marks.lost:
            with self._step(project):
                self._areas.look_again(project)
        for top in marks.checkouts:
            if _owns(project, top):
                with self._step(project):
                    self._areas.repository_changed(project, top)
        if idle:
            with self._step(project):
                self._areas.ask_refused(project)
        for area in tuple(project.areas.values()):
            with self._step(project):
                self._appeared(project, area, directories.get(id(area), (area, []))[1])
        for area in tuple(project.areas.values()):
            marked = area.top in marks.checkouts or id(area) in self._later
            due = marked or area.pending or area.gone or (idle and self._is_due(marks, area))
            there = project.areas.get(area.top) is area
            if due and there and not self._is_foreign(project, area):
                with self._step(project):
                    if not self._areas.drop_if_gone(project, area) and area.refused is None:
                        self._look_at_area(project, area)

    def _appeared(self, project: WatchedProject, area: Area, names: list[str]) -> None:
        """Look at directories that appeared or went; again later if git does not answer."""
        waited = self._later.get(id(area), 0.0) <= time.monotonic()
        asked = {*names, *(area.appeared if waited else ())}
        if not asked:
            return
        try:
            self._areas.appeared(project, area, sorted(asked))
            area.appeared -= asked
        except QiError as error:
            area.appeared |= asked
            self._look_later(project, area, error)
            if len(area.appeared) > MOST_PENDING:
                project.set_aside[NOT_LOOKED_AT] += len(area.appeared)
                area.appeared.clear()

    def _is_foreign(self, project: WatchedProject, area: Area) -> bool:
        """Whether an area is a project of its own."""
        return area.top != project.root and any(p.root == area.top for p in self._projects())

    # --- one area ---------------------------------------------------------------------------------

    def _is_due(self, marks: Marks, area: Area) -> bool:
        """Whether an area that nothing points to is to be looked at, now that all are."""
        return marks.lost or marks.ruled or not area.is_still()

    def _look_at_area(self, project: WatchedProject, area: Area) -> None:
        key, now = id(area), time.monotonic()
        if self._later.get(key, 0.0) > now:
            return
        self._later.pop(key, None)
        try:
            if area.repository is not None and area.repository.git_is_writing():
                self._later[key] = now + SOON_SECONDS
                return
            before = () if area.repository is None else area.repository.still()
            follow_rules(self._areas, project, area)
            _take_gone(area)
            self._look(project, area, sorted(area.pending))
            area.still = () if area.pending or key in self._later else before
            self._failures.pop(key, None)
            took = time.monotonic() - now
            if took > SOON_SECONDS:  # a burst: what comes meanwhile is looked at together
                self._later.setdefault(key, time.monotonic() + min(REST_SECONDS, took))
        except QiError as error:
            self._look_later(project, area, error)
            if len(area.pending) > MOST_PENDING:
                self._drop(project, area, sorted(area.pending))

    def _look_later(self, project: WatchedProject, area: Area, error: QiError) -> None:
        """Leave an area alone for a while, as git did not answer."""
        self._failures[id(area)] += 1
        wait = min(LONGEST_SECONDS, FAILED_SECONDS * 2 ** min(10, self._failures[id(area)] - 1))
        self._later[id(area)] = time.monotonic() + wait
        self._log(project, f"{area.top} is looked at again in {wait:.0f} s: {error.what}")

    def _look(self, project: WatchedProject, area: Area, names: list[str]) -> None:
        """Look at files of an area; those that cannot be looked at are dropped and counted.

        Raises QiError if git does not answer.
        """
        now = self._clock()
        try:
            found = look(area, names, now)
        except QiError:
            raise
        except Exception:
            logger.exception("a look at %s failed", area.top)
            self._look_at_halves(project, area, names)
            return
        if found is None:
            self._later[id(area)] = time.monotonic() + SOON_SECONDS
            return
        area.pending -= set(names)
        for name in found.early:
            self._inbox.mark_file(area.path_of(name), closed=False)
        if found.moves or found.texts:
            self._report(project, lambda: project.apply(area, found, now))

    def _look_at_halves(self, project: WatchedProject, area: Area, names: list[str]) -> None:
        if len(names) <= 1:
            self._drop(project, area, names)
            return
        half = len(names) // 2
        self._look(project, area, names[:half])
        self._look(project, area, names[half:])

    def _drop(self, project: WatchedProject, area: Area, names: list[str]) -> None:
        area.pending -= set(names)
        project.set_aside[NOT_LOOKED_AT] += max(1, len(names))

    @contextmanager
    def _step(self, project: WatchedProject) -> Iterator[None]:
        """Do something for a project. What fails is dropped and counted, and others go on."""
        try:
            yield
        except QiError as error:
            project.set_aside[NOT_LOOKED_AT] += 1
            self._log(project, error.what)
        except Exception:
            project.set_aside[NOT_LOOKED_AT] += 1
            logger.exception("a change in %s could not be followed", project.root)

    def _log(self, project: WatchedProject, what: str) -> None:
        logger.warning("a change in %s could not be followed: %s", project.root, what)


class _Owners:
    """Which area holds a directory: the innermost."""

    def __init__(self, projects: tuple[WatchedProject, ...]) -> None:
        self._areas: dict[str, tuple[WatchedProject, Area]] = {}
        for project in projects:
            for top, area in tuple(project.areas.items()):
                if top == project.root or top not in self._areas:
                    self._areas[top] = (project, area)
        self._known: dict[str, tuple[WatchedProject, Area] | None] = {}

    def of(self, directory: str) -> tuple[WatchedProject, Area] | None:
        """The area that holds a directory, with its project."""
        if directory not in self._known:
            found = self._areas.get(directory)
            if found is None and directory not in ("", "/"):
                found = self.of(os.path.dirname(directory))
            self._known[directory] = found
        return self._known[directory]


def owner_of(projects: tuple[WatchedProject, ...], path: str) -> tuple[WatchedProject, Area] | None:
    """The area that holds a file, with its project."""
    return _Owners(projects).of(os.path.dirname(path))


def _owns(project: WatchedProject, top: str) -> bool:
    """Whether a working tree belongs to a project and is not known to be another's."""
    return top in project.areas or top.startswith(project.root.rstrip("/") + "/")


def _take_gone(area: Area) -> None:
    """Have the files read that were known in directories that went."""
    if not area.gone:
        return
    gone = sorted(area.gone)
    for name in gone:
        area.pending |= {file for file, _ in area.files.below(name)}
    if area.repository is not None:
        area.pending |= area.repository.known_below(gone)
    area.gone.clear()
