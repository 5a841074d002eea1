"""Looking at directories again and again, if no events tell of changes in them.

The cost is bounded: after a look the thread rests for a second, or for as many times as long as the
look took as `REST` says, whichever is more.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from qi_learn.workspace.event_source import mark
from qi_learn.workspace.inbox import Inbox

logger = logging.getLogger(__name__)
SECONDS = 1.0
REST = 20.0
"""A look takes at most one part in this many of a core."""
_Entry = tuple[bool, int, int, int]


class PollingSource:
    """Looks at directories from a thread of its own."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, _Entry]] = {}
        self._git: dict[str, str | None] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qi-learn-look", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still looks."""
        return self._thread.is_alive()

    def watch(self, directory: str, *, git: str | None = None) -> None:
        """Look at a directory from now on, if it is there."""
        seen = _look(directory)
        if seen is not None:
            with self._lock:
                self._seen.setdefault(directory, seen)
                self._git[directory] = git

    def watches(self, directory: str) -> bool:
        """Whether a directory is still looked at."""
        with self._lock:
            return directory in self._seen

    def forget(self, directory: str) -> None:
        """Stop looking at a directory and every one below it."""
        with self._lock:
            for path in [p for p in self._seen if p == directory or p.startswith(directory + "/")]:
                del self._seen[path], self._git[path]

    def close(self) -> None:
        """Stop looking. It does not wait for a file system that hangs."""
        self._closed.set()
        self._thread.join(SECONDS)

    def _run(self) -> None:
        rest = SECONDS
        while not self._closed.wait(rest):
            began = time.monotonic()
            with self._lock:
                directories = list(self._seen)
            for directory in directories:
                self._compare(directory)
            rest = max(SECONDS, REST * (time.monotonic() - began))

    def _compare(self, directory: str) -> None:
        now = _look(directory)
        with self._lock:
            if directory not in self._seen:
                return
            before, git = self._seen[directory], self._git[directory]
            if now is None:  # the directory above tells that it is gone
                del self._seen[directory], self._git[directory]
                return
            self._seen[directory] = now
        if now == before:
            return
        if git is not None:
            self._inbox.mark_checkout(git)
            return
        for name in before.keys() | now.keys():
            old, new = before.get(name), now.get(name)
            if old == new or (old and new and old[0] and new[0] and old[3] == new[3]):
                continue
            for entry in {e[0] for e in (old, new) if e is not None}:
                mark(self._inbox, directory, name, is_directory=entry, closed=True)


def _look(directory: str) -> dict[str, _Entry] | None:
    """What is directly in a directory; None if it is not there."""
    found: dict[str, _Entry] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                is_directory = entry.is_dir(follow_symlinks=False)
                found[entry.name] = (
                    is_directory,
                    0 if is_directory else status.st_mtime_ns,
                    0 if is_directory else status.st_size,
                    status.st_ino,
                )
    except FileNotFoundError:
        return None if not os.path.isdir(directory) else found
    except OSError as error:
        logger.debug("%s cannot be looked at: %s", directory, error)
        return None
    return found
