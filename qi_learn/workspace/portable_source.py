"""The system's events through watchdog, for systems without inotify (macOS).

A project's tree is one watch with everything below it, so a directory within a watched one needs
none of its own.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import PurePath

from watchdog.events import FileClosedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from qi_learn.workspace.event_source import NoRoom, mark
from qi_learn.workspace.files import SKIPPED_DIRECTORIES
from qi_learn.workspace.inbox import Inbox

_GIT_FILES = {"HEAD", "index", "packed-refs", "ORIG_HEAD", "stash", "exclude", "config"}
_LOOKED_AT = {"opened", "closed_no_write"}


class PortableSource(FileSystemEventHandler):
    """Watches directories with watchdog's observer of the system."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._watches: dict[str, tuple[ObservedWatch, str | None]] = {}
        self._observer = Observer()
        self._observer.start()

    @property
    def alive(self) -> bool:
        """Whether the observer still tells of changes."""
        return self._observer.is_alive()

    def watch(self, directory: str, *, git: str | None = None) -> None:
        """Watch a directory with all below it, unless one above it is watched. Raises NoRoom."""
        if self._covering(directory) is not None or not os.path.isdir(directory):
            return
        try:
            watch = self._observer.schedule(self, directory, recursive=git is None)
        except OSError as error:
            raise NoRoom(error.errno, error.strerror) from error
        self._watches[directory] = (watch, git)

    def watches(self, directory: str) -> bool:
        """Whether a directory is watched, by itself or with one above it."""
        return self._covering(directory) is not None

    def forget(self, directory: str) -> None:
        """Stop watching a directory and every one below it."""
        for path in [p for p in self._watches if p == directory or p.startswith(directory + "/")]:
            self._observer.unschedule(self._watches.pop(path)[0])

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Mark what an event names."""
        if event.event_type in _LOOKED_AT:
            return
        closed = isinstance(event, FileClosedEvent) or event.event_type in ("moved", "deleted")
        for raw in (event.src_path, event.dest_path):
            if raw:
                self._mark(_as_git_has_it(os.fsdecode(raw)), event.is_directory, closed)

    def _mark(self, path: str, is_directory: bool, closed: bool) -> None:
        top = self._covering(path)
        if top is None or path == top:
            return
        if (git := self._watches[top][1]) is not None:
            self._inbox.mark_checkout(git)
            return
        parts = PurePath(path).relative_to(top).parts
        if ".git" in parts[:-1]:
            if parts[-1] in _GIT_FILES:
                self._inbox.mark_checkout(str(PurePath(top, *parts[: parts.index(".git")])))
        elif not SKIPPED_DIRECTORIES & set(parts[:-1]):
            directory, name = os.path.split(path)
            mark(self._inbox, directory, name, is_directory=is_directory, closed=closed)

    def _covering(self, path: str) -> str | None:
        held = [d for d in tuple(self._watches) if path == d or path.startswith(d + "/")]
        return max(held, key=len, default=None)


def _as_git_has_it(path: str) -> str:
    """A path as git spells it: macOS may tell letters with their accents apart."""
    return unicodedata.normalize("NFC", path) if sys.platform == "darwin" else path
