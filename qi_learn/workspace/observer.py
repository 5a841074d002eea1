"""Watching directories: watchdog's observers, and what is scheduled with them.

Also what is done if the system has no room for more watches.

Linux gives every user a number of inotify watches, and the library passes over directories for
which none was left. So after scheduling, the watches that the kernel says we have are counted. If
some are missing, the project is looked at every second instead, and a note says how to get more.
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
"""Opening and reading are not among them: a search through the tree must cost nothing."""


class _Tell(FileSystemEventHandler):
    def __init__(self, tell: Callable[[FileSystemEvent], None]) -> None:
        self._tell = tell

    def dispatch(self, event: FileSystemEvent) -> None:
        self._tell(event)


class Observation:
    """The directories under watch.

    `tell` is called from the observers' threads.
    """

    def __init__(self, tell: Callable[[FileSystemEvent], None], *, polling: bool) -> None:
        self._handler = _Tell(tell)
        self._polling = polling
        self._native: BaseObserver | None = None
        self._poller: BaseObserver | None = None
        self._watches: dict[Path, list[tuple[BaseObserver, ObservedWatch]]] = {}
        self._lock = threading.Lock()
        self.notes: tuple[str, ...] = ()

    def add(self, root: Path, *, in_git: bool) -> None:
        """Watch a project's tree."""
        left_out = {root / name for name in git.ignored_directories(root)} if in_git else set()
        required = units(root, left_out=left_out)
        with self._lock:
            self._watches[root] = []
            if self._polling or not self._add_native(root, required):
                for unit in required:
                    self._schedule(root, self._polling_observer(), unit)

    def extend(self, root: Path, directory: Path) -> list[Path]:
        """Watch a directory that has appeared; returns the files that are in it already.

        Nothing is scheduled if it has a watch, or a recursive one covers it.
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
                # gone again, or no room: its files are found with the next commit
                with suppress(OSError):
                    self._schedule(root, watches[0][0], Unit(directory, recursive=True))
        return [
            path
            for path in directory.rglob("*")
            if path.is_file() and not SKIPPED_DIRECTORIES & set(path.relative_to(root).parts)
        ]

    def remove(self, root: Path) -> None:
        """Stop watching a project's tree."""
        with self._lock:
            self._unschedule(root)

    def close(self) -> None:
        """Stop all watches."""
        for observer in (self._native, self._poller):
            if observer is not None:
                observer.stop()
                observer.join()

    def _add_native(self, root: Path, required: list[Unit]) -> bool:
        """Watch by the system's events; False, with no watch left, if the system has no room."""
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
            for unit in required:
                self._schedule(root, self._native, unit)
        except OSError as error:
            self._no_room(root, str(error))
            return False
        gained = _kernel_watches() - before
        if gained and not nested:
            needed = sum(count_directories(unit) for unit in required)
            if gained < needed:
                self._no_room(root, f"{gained} of {needed} directories could be watched")
                return False
        return True

    def _no_room(self, root: Path, why: str) -> None:
        self._unschedule(root)
        self._watches[root] = []
        note = (
            f"{root} is looked at every second: the system has no room to watch it ({why}). "
            "More room: sysctl fs.inotify.max_user_watches=524288"
        )
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
    """How many inotify watches this process has; 0 if the system does not tell."""
    count = 0
    for info in Path("/proc/self/fdinfo").glob("*"):
        with suppress(OSError):
            count += sum(
                1 for line in info.read_text().splitlines() if line.startswith("inotify wd:")
            )
    return count
