"""File saves and commits of the registered projects, as they happen.

An event of the operating system only says where to look. The file is read a moment later and
compared with what was known, and a `FileSaved` is reported if its text differs. So bursts, saves by
renaming, and events that come twice or late all end in the same sequence of texts. Commits are read
from the reflog of HEAD (`.git/logs/HEAD`), which needs no hook and tells `reset` from `revert`. The
files of a commit are read again before it is reported, so that no commit comes before the saves in
it. What git itself wrote into the tree (checkout, pull, reset to another commit) is not a save.

Threads of ours do all this (`reader`, and a source of events for all projects), so that a text is
not lost while the daemon is busy. `poll` only hands over what they found.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound, QiError
from qi_learn.outside.mounts import Mount, read_mounts
from qi_learn.records import WatchState
from qi_learn.records.watching import Stood
from qi_learn.workspace.areas import Areas
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.clock_watch import steady_clock
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.inbox import Inbox
from qi_learn.workspace.observer import Observation
from qi_learn.workspace.reader import Reader, owner_of
from qi_learn.workspace.watched_project import TextBudget, WatchedProject

logger = logging.getLogger(__name__)
STARTERS = 2
"""Threads that begin to watch projects: while git answers for one, another is read."""
MEMORY_BYTES = 128 * 1024 * 1024


class Watcher:
    """Watches projects until closed.

    `window`: seconds of texts kept per file. `steady`: the clock that tells when `clock` was set.
    `polling`: whether to look at the trees every second in place of asking the system. `memory`:
    bytes of texts up to which all of a file's are kept. `mounts`: tells the mounted file systems.
    """

    def __init__(
        self,
        *,
        window: float = 7200.0,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady_clock,
        polling: bool = False,
        memory: int = MEMORY_BYTES,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
    ) -> None:
        self._window = window
        self._clock, self._steady = clock, steady
        self._budget = TextBudget(memory)
        self._lock = threading.RLock()
        self._projects: dict[str, WatchedProject] = {}
        self._changes: list[FileSaved | Committed] = []
        self._inbox = Inbox()
        self._observation = Observation(self._inbox, polling=polling, mounts=mounts)
        self._areas = Areas(self._observation)
        self._starts: deque[WatchedProject] = deque()
        self._starters: set[threading.Thread] = set()
        self._closed = False
        self._reader = self._new_reader()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether all its threads run; if not, nothing is seen until `revive`."""
        return self._reader.alive and self._observation.alive

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: which projects are looked at or not seen, and why."""
        return tuple(why for state in self.states() for why in state.why)

    def states(self) -> tuple[WatchState, ...]:
        """How each project is watched."""
        with self._lock:
            projects = tuple(self._projects.values())
        return tuple(p.state(self._observation.why_polled(p.root)) for p in projects)

    def add(self, project: Path, *, wait: bool = True, stood: Stood | None = None) -> None:
        """Watch a project from now on.

        Changes count from its files as they are now. Those that git has are not read for that.
        With `wait` false this is done by another thread, project after project. `stood`: up to
        where it was watched before; what happened in a repository since is told too.

        Raises NotFound if it is not a directory; with `wait` QiError if it cannot be watched.
        """
        root = project.absolute()
        if not os.path.isdir(root):
            raise NotFound(
                f"The project {root} is not a directory.",
                "Remove it from the projects, or put it back.",
            )
        with self._lock:
            if str(root) in self._projects:
                return
            state = WatchedProject(str(root), self._clock(), self._window, self._budget)
            state.stood, state.last_event = stood, None if stood is None else stood.last_event
            self._projects[state.root] = state
            if not wait:
                self._starts.append(state)
                self._ensure_starters()
        if wait:
            self._start(state)

    def remove(self, project: Path) -> None:
        """Stop watching a project, if it is watched."""
        with self._lock:
            state = self._projects.pop(str(project.absolute()), None)
            if state is None:
                return
            for area in state.areas.values():
                self._observation.forget(area.top)
                self._budget.take(-sum(h.size for _, h in area.files.below()))
            self._observation.end(state.root)
            related = [p for p in self._projects.values() if _related(state, p)]
        for other in related:  # they may have shared a directory under watch
            self._areas.look_again(other)

    def history(self, path: Path) -> FileHistory:
        """The texts of a file of a watched project; an empty history if it was never seen."""
        found = owner_of(self._all(), str(path))
        if found is None:
            return FileHistory("", window=self._window)
        project, area = found
        return project.history(area, area.name_of(str(path)))

    def poll(self) -> list[FileSaved | Committed]:
        """What happened since the last call, in order."""
        with self._lock:
            changes, self._changes = self._changes, []
        return changes

    def stands(self) -> dict[str, Stood]:
        """Up to where each project is watched, as far as what was found was polled."""
        with self._lock:
            found = {p.root: p.stands(self._clock()) for p in self._projects.values()}
            waiting = {change.project for change in self._changes}
        return {root: s for root, s in found.items() if s is not None and root not in waiting}

    def retry_refused(self) -> None:
        """Ask git again about repositories that it did not open. It is also done once a minute."""
        for project in self._all():
            for top, area in tuple(project.areas.items()):
                if area.refused is not None:
                    self._inbox.mark_checkout(top)

    def revive(self) -> None:
        """Start what has ended, and have everything looked at that may have been missed."""
        if self._closed:
            return
        if not self._reader.alive:
            logger.error("the thread that reads changes had ended; a new one is started")
            self._reader = self._new_reader()
        self._observation.revive()
        self._inbox.lose()

    def close(self) -> None:
        """Stop watching. What was not polled is lost."""
        self._closed = True
        with self._lock:
            self._starts.clear()
            starters = tuple(self._starters)
        for starter in starters:
            starter.join()
        self._inbox.close()
        self._reader.join()  # it may be putting a tree under watch
        self._observation.close()

    # --- what the threads call --------------------------------------------------------------------

    def _new_reader(self) -> Reader:
        clocks = self._clock, self._steady
        return Reader(self._inbox, self._areas, self._all, self._shift, self._report, *clocks)

    def _all(self) -> tuple[WatchedProject, ...]:
        with self._lock:
            return tuple(self._projects.values())

    def _shift(self, project: WatchedProject, seconds: float) -> None:
        """Have a project go by a clock that was set, with what was not told of it yet."""
        with self._lock:
            project.shift(seconds)
            self._changes = [
                replace(each, ts=each.ts + seconds) if each.project == project.root else each
                for each in self._changes
            ]
            logger.warning("the clock was set by %.0f s: %s goes by it", seconds, project.root)

    def _report(
        self, project: WatchedProject, changes: Callable[[], list[FileSaved | Committed]]
    ) -> None:
        with self._lock:
            if self._projects.get(project.root) is project:
                self._changes += changes()

    def _ensure_starters(self) -> None:
        self._starters = {each for each in self._starters if each.is_alive()}
        if len(self._starters) < STARTERS:
            starter = threading.Thread(
                target=self._start_all, name="qi-learn-watch-start", daemon=True
            )
            self._starters.add(starter)
            starter.start()

    def _start_all(self) -> None:
        while True:
            with self._lock:
                if not self._starts:
                    self._starters.discard(threading.current_thread())
                    return
                state = self._starts.popleft()
            try:
                self._start(state)
            except Exception:
                logger.exception("%s is not watched", state.root)

    def _start(self, state: WatchedProject) -> None:
        """Begin to watch a project. Raises QiError or OSError if it cannot be."""
        try:
            self._areas.begin(state)
        except (QiError, OSError) as error:
            state.failed, state.tried_at = str(error), time.monotonic()
            raise
        finally:
            state.starting = False
            self._inbox.mark_checkout(state.root)


def _related(one: WatchedProject, other: WatchedProject) -> bool:
    """Whether two projects may watch the same directories."""
    tops = {area.repository.common for area in one.areas.values() if area.repository is not None}
    return (
        one.root.startswith(other.root + "/")
        or other.root.startswith(one.root + "/")
        or any(
            a.repository is not None and a.repository.common in tops for a in other.areas.values()
        )
    )
