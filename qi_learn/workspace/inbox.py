"""Where to look, and when: what the sources of events say, until the reader takes it.

An event only marks a path. A path that is marked twice is looked at once. The number of marks is
bounded: beyond that they are let go, and everything is to be looked at.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

CLOSED_SECONDS = 0.05
"""Seconds from the closing of a file to its reading: by then an editor has renamed it."""
WRITTEN_SECONDS = 0.3
"""The same if the file was only written, and may be written on."""
LONGEST_SECONDS = 3.0
"""Seconds after which a file that is written all the time is read all the same."""
APART_SECONDS = 0.05
"""The fewest seconds between two looks: of a checkout's files many are looked at in one."""
MOST_MARKS = 200_000


@dataclass(slots=True)
class Marks:
    """What is to be looked at now."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    """Those that appeared or went."""
    checkouts: set[str] = field(default_factory=set)
    """Working trees in whose repository something happened."""
    lost: bool = False
    """Whether events were lost, so that everything is to be looked at."""
    ruled: bool = False
    """Whether what git leaves out may have changed by a file that lies elsewhere."""


class Inbox:
    """The marks. Called from every thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._files: dict[str, tuple[float, float]] = {}
        self._directories: dict[str, float] = {}
        self._checkouts: dict[str, float] = {}
        self._wake = math.inf
        self._taken = -math.inf
        self._lost = False
        self._closed = False

    def mark_file(self, path: str, *, closed: bool) -> None:
        """Have a file read: soon if it was closed, else when it was not written for a moment."""
        now = time.monotonic()
        with self._changed:
            due, latest = self._files.get(path, (math.inf, now + LONGEST_SECONDS))
            # one that was closed just now and is written anew waits, too
            due = min(due, now + CLOSED_SECONDS) if closed else min(now + WRITTEN_SECONDS, latest)
            self._files[path] = (due, latest)
            self._wake_at(due)

    def mark_directory(self, path: str) -> None:
        """Have a directory looked at that appeared or went."""
        with self._changed:
            due = self._directories.setdefault(path, time.monotonic() + CLOSED_SECONDS)
            self._wake_at(due)

    def mark_checkout(self, top: str) -> None:
        """Have the repository of a working tree looked at."""
        with self._changed:
            self._wake_at(self._checkouts.setdefault(top, time.monotonic() + CLOSED_SECONDS))

    def lose(self) -> None:
        """Have everything looked at: events were lost."""
        with self._changed:
            self._lost = True
            self._wake_at(0.0)

    def close(self) -> None:
        """End `take`, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, timeout: float) -> Marks | None:
        """What is due, after waiting for it at most `timeout` seconds; None once closed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due = min(deadline, max(self._wake, self._taken + APART_SECONDS))
                if now >= due:
                    self._taken = now
                    return self._due(now)
                self._changed.wait(due - now)
        return None

    def _wake_at(self, due: float) -> None:
        if len(self._files) + len(self._directories) > MOST_MARKS:
            self._files.clear()
            self._directories.clear()
            self._lost, due = True, 0.0
        if due < self._wake:
            self._wake = due
            self._changed.notify()

    def _due(self, now: float) -> Marks:
        marks = Marks(
            [path for path, (due, _) in self._files.items() if due <= now],
            [path for path, due in self._directories.items() if due <= now],
            {top for top, due in self._checkouts.items() if due <= now},
            self._lost,
        )
        for path in marks.files:
            del self._files[path]
        for path in marks.directories:
            del self._directories[path]
        for top in marks.checkouts:
            del self._checkouts[top]
        self._lost = False
        files = (due for due, _ in self._files.values())
        others = (*self._directories.values(), *self._checkouts.values())
        self._wake = min(files, default=math.inf)
        self._wake = min((self._wake, *others))
        return marks
