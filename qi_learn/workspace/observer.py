"""Watching directories: watchdog's observers, what is scheduled with them, and what to do where the
system has no room for more watches.

Linux gives every user a number of inotify watches; the library passes over directories for which
there was none left. So after scheduling, the watches that the kernel says we have are counted;
where some are missing the project is looked at every second instead, and a note says how to get
more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from qi_learn.outside import git
from qi_learn.workspace.files import SKIPPED_DIRECTORIES, Unit, count_directories, units

logger = logging.getLogger(__name__)
KINDS: list[type[FileSystemEvent]] = [
    *(DirCreatedEvent, DirDeletedEvent, DirMovedEvent),
    *(FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent),
]
"""Not opening and reading: a search through the tree must cost nothing."""


class _Tell(FileSystemEventHandler):
    def __init__(self, tell: Callable[[FileSystemEvent], None]) -> None:
        self._tell = tell

    def dispatch(self, event: FileSystemEvent) -> None:
        self._tell(event)


class Observation:
    """The directories under watch. `tell` is called from the observers' threads."""

    def __init__(self, tell: Callable[[FileSystemEvent], None], *, polling: bool) -> None:
        self._handler = _Tell(tell)
        self._polling = polling
        self._native: BaseObserver | None = None
        self._poller: BaseObserver | None = None
        self._watches: dict[Path, list[tuple[BaseObserver, ObservedWatch]]] = {}
        self._lock = threading.Lock()
        self.notes: tuple[str, ...] = ()

    def add(self, root: Path, *, in_git: bool) -> None:
        """Watches a project's tree."""
        left_out = {root / name for name in git.ignored_directories(root)} if in_git else set()
        wanted = units(root, left_out=left_out)
        with self._lock:
            self._watches[root] = []
            if self._polling or not self._add_native(root, wanted):
                for unit in wanted:
                    self._schedule(root, self._polling_observer(), unit)

    def extend(self, root: Path, directory: Path) -> list[Path]:
        """A directory has appeared: watches it where no recursive watch covers it.

        Returns the files that are in it already.
        """
        if SKIPPED_DIRECTORIES & set(directory.relative_to(root).parts):
            return []
        with self._lock:
            watches = self._watches.get(root, [])
            covered = any(
                Path(w.path) == directory or (w.is_recursive and Path(w.path) in directory.parents)
                for _, w in watches
            )
            if watches and not covered:
                with suppress(
                    OSError
                ):  # gone again, or no room: its files are found with the next commit
                    self._schedule(root, watches[0][0], Unit(directory, recursive=True))
        return [
            path
            for path in directory.rglob("*")
            if path.is_file() and not SKIPPED_DIRECTORIES & set(path.relative_to(root).parts)
        ]

    def remove(self, root: Path) -> None:
        """Stops watching a project's tree."""
        with self._lock:
            self._unschedule(root)

    def close(self) -> None:
        """Stops everything."""
        for observer in (self._native, self._poller):
            if observer is not None:
                observer.stop()
                observer.join()

    def _add_native(self, root: Path, wanted: list[Unit]) -> bool:
        """False where the system has no room; then nothing of it is left."""
        before = _kernel_watches()
        nested = any(
            root in other.parents or other in root.parents
            for other in self._watches
            if other != root
        )
        try:
            if self._native is None:
                self._native = Observer()
                self._native.start()
            for unit in wanted:
                self._schedule(root, self._native, unit)
        except OSError as error:
            self._no_room(root, str(error))
            return False
        gained = _kernel_watches() - before
        if gained and not nested and gained < (needed := sum(count_directories(u) for u in wanted)):
            self._no_room(root, f"{gained} of {needed} directories could be watched")
            return False
        return True

    def _no_room(self, root: Path, why: str) -> None:
        self._unschedule(root)
        self._watches[root] = []
        note = f"{root} is looked at every second: the system has no room to watch it ({why}). More room: sysctl fs.inotify.max_user_watches=524288"
        logger.warning("%s", note)
        self.notes = (*self.notes, note)

    def _polling_observer(self) -> BaseObserver:
        if self._poller is None:
            self._poller = PollingObserver(timeout=1.0)
            self._poller.start()
        return self._poller

    def _schedule(self, root: Path, observer: BaseObserver, unit: Unit) -> None:
        watch = observer.schedule(
            self._handler, str(unit.directory), recursive=unit.recursive, event_filter=KINDS
        )
        self._watches[root].append((observer, watch))

    def _unschedule(self, root: Path) -> None:
        for observer, watch in self._watches.pop(root, []):
            observer.unschedule(watch)


def _kernel_watches() -> int:
    """How many inotify watches this process has; 0 where the system does not say."""
    count = 0
    for info in Path("/proc/self/fdinfo").glob("*"):
        with suppress(OSError):
            count += sum(
                1 for line in info.read_text().splitlines() if line.startswith("inotify wd:")
            )
    return count
