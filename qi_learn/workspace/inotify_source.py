"""Linux's inotify: one descriptor and one thread for all directories of all projects.

inotify watches a directory itself, not its name. So if a directory is moved, what is below it is
forgotten, and it is watched anew where it appears. The thread only notes what the kernel says: it
must be faster than what writes files, or the kernel's queue overflows. If it does, everything is
looked at.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
from collections import defaultdict

from inotify_simple import INotify, flags, parse_events

from qi_learn.workspace.event_source import NoRoom, mark
from qi_learn.workspace.inbox import Inbox

logger = logging.getLogger(__name__)
_MASK = int(
    flags.CREATE
    | flags.DELETE
    | flags.MODIFY
    | flags.CLOSE_WRITE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.ONLYDIR
    | flags.EXCL_UNLINK
)
"""Opening and reading are not in it: a search through the tree must cost nothing."""
_CLOSED = int(flags.CLOSE_WRITE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE)
_ISDIR, _IGNORED = int(flags.ISDIR), int(flags.IGNORED)
_OVERFLOW, _MOVED_FROM = int(flags.Q_OVERFLOW), int(flags.MOVED_FROM)
_BYTES = 1 << 20
GATHER_MS = 5
"""Milliseconds from one reading of events to the next: in a burst each gives many."""
_NO_ROOM = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class InotifySource:
    """Watches directories with one inotify descriptor. Raises NoRoom if there is none left."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._watches: dict[int, list[tuple[str, str | None]]] = {}
        """By watch: the names under which a directory is watched, and the working tree to whose
        git it belongs."""
        self._numbers: dict[str, int] = {}
        self._below: defaultdict[str, set[str]] = defaultdict(set)
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            raise NoRoom(error.errno, error.strerror) from error
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="qi-learn-events", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still reads."""
        return self._thread.is_alive()

    def watch(self, directory: str, *, git: str | None = None) -> None:
        """Watch a directory, if it is there. Raises NoRoom."""
        with self._lock:
            try:
                number = self._inotify.add_watch(directory, _MASK)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise NoRoom(error.errno, error.strerror) from error
                return  # gone again, no directory any more, or closed to us
            names = self._watches.setdefault(number, [])
            if (directory, git) not in names:
                names.append((directory, git))
            self._numbers[directory] = number
            self._below[os.path.dirname(directory)].add(directory)

    def watches(self, directory: str) -> bool:
        """Whether a directory is still watched."""
        with self._lock:
            return directory in self._numbers

    def forget(self, directory: str) -> None:
        """Stop watching a directory and every one below it."""
        with self._lock:
            self._forget(directory)

    def close(self) -> None:
        """Stop watching."""
        os.write(self._wake, b"x")
        self._thread.join()
        self._inotify.close()
        os.close(self._woken)
        os.close(self._wake)

    def _forget(self, directory: str) -> None:
        waiting = [directory]
        while waiting:
            path = waiting.pop()
            waiting += self._below.pop(path, ())
            number = self._numbers.pop(path, None)
            if number is None:
                continue
            names = [name for name in self._watches.get(number, []) if name[0] != path]
            if names:
                self._watches[number] = names
            elif self._watches.pop(number, None) is not None:
                self._remove(number)
        self._below[os.path.dirname(directory)].discard(directory)

    def _remove(self, number: int) -> None:
        try:
            self._inotify.rm_watch(number)
        except OSError as error:
            if error.errno != errno.EINVAL:  # else the directory was removed, and its watch too
                raise

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._inotify.fileno(), select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        ended = select.poll()
        ended.register(self._woken, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._woken in ready:
                return
            try:
                events = parse_events(os.read(self._inotify.fileno(), _BYTES))
            except BlockingIOError:
                continue
            with self._lock:
                for number, mask, _, name in events:
                    self._handle(number, mask, name)
            if ended.poll(GATHER_MS):
                return

    def _handle(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            logger.warning("the kernel's queue of file events overflowed: all trees are looked at")
            self._inbox.lose()
        names = self._watches.get(number)
        if names is None:
            return
        if mask & _IGNORED:
            self._dropped(number)
            return
        is_directory = bool(mask & _ISDIR)
        for directory, git in tuple(names):
            if git is not None:
                self._inbox.mark_checkout(git)
                continue
            if is_directory and mask & _MOVED_FROM:
                self._forget(f"{directory}/{name}")
            closed = bool(mask & _CLOSED)
            mark(self._inbox, directory, name, is_directory=is_directory, closed=closed)

    def _dropped(self, number: int) -> None:
        """Forget a watch that the kernel took away: its directory is gone."""
        for directory, _ in self._watches.pop(number):
            if self._numbers.get(directory) == number:
                del self._numbers[directory]
                above = os.path.dirname(directory)
                self._below[above].discard(directory)
                if above not in self._numbers:  # nothing else tells that it is gone
                    self._inbox.mark_checkout(directory)
