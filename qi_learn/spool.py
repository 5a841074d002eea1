"""The spool: append-only files of events.

It lies between the processes that see something and the one that writes the database.

The invariant: an event whose `append` returned is a complete line in a file, and stays one whatever
dies next. Every producer process has a file of its own (`<source>-<pid>-<start ns>.jsonl`, 0600, in
a directory 0700), opened with O_APPEND and written with one `write` per line, so nothing
interleaves. A file is never written again once it has reached `ROTATE_AT` bytes, its producer is
gone, or its reader has retired it.

Retiring is how a file goes while its producer lives. Ours (`Spool`) hold a shared lock while they
write; the reader takes the lock for itself and takes the file's write permission away: from then on
the producer, which looks under its lock, opens another file. Shells hold no lock: theirs is renamed
to `<name>.left`. A shell looks for its file by name before each line, so only a line that it is
writing in that instant still arrives there; the file is read for a few seconds more.

What is not promised here: survival of power loss (no fsync), and what a line means (`capture.wire`,
`store.ingest`). The lines themselves: `spool_lines`. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qi_learn.errors import SpoolError
from qi_learn.ids import new_id
from qi_learn.records import Author, Event, EventKind
from qi_learn.spool_lines import (
    LEFT,
    NAME,
    Line,
    alive,
    frame,
    parse,
    producer_alive,
    read_from,
)

__all__ = [
    "LARGEST",
    "LEFT",
    "ROTATE_AT",
    "Line",
    "Spool",
    "bad_lines",
    "finished",
    "frame",
    "parse",
    "producer_alive",
    "read_from",
    "retire",
    "spool_files",
    "sweep",
]
ROTATE_AT = 8 * 1024 * 1024
LARGEST = 1024 * 1024 * 1024
"""Bytes in the spool from which on `Spool` refuses to begin another file: nothing takes them in."""
LOCK_TRIES = 20
_NOTE = r"\.qi-learn-[a-z]+-(?P<pid>\d+)"
_SOURCE = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


# --- files ----------------------------------------------------------------------------------------


def spool_files(directory: Path) -> list[Path]:
    """The files of a spool, oldest producer first; empty if there is no spool yet."""
    files = [
        (int(match["start"]), path)
        for path in directory.glob("*.jsonl*")
        if (match := NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(files)]


def bad_lines(directory: Path) -> int:
    """How many lines were set aside as bad ones. Raises OSError if they cannot be read."""
    files = (file for file in (directory / "bad").glob("*") if file.is_file())
    return sum(file.read_bytes().count(b"\n") for file in files)


def look_of(directory: Path) -> frozenset[tuple[str, int, int]]:
    """The files of the spool with their sizes and times: what changes when a line is added.

    Raises OSError if there is no spool, or if a file went while it was looked at.
    """
    with os.scandir(directory) as entries:
        files = [(e.name, e.stat()) for e in entries if e.is_file(follow_symlinks=False)]
    return frozenset((name, status.st_size, status.st_mtime_ns) for name, status in files)


def finished(path: Path) -> bool:
    """Whether no process will write to this file again.

    It is full, its producer is gone, or it was retired (a `.left` one never is for certain: its
    reader waits). Ask before reading it to the end, delete afterwards.
    """
    status = path.stat()
    retired = not status.st_mode & stat.S_IWUSR
    return status.st_size >= ROTATE_AT or retired or not producer_alive(path)


def retire(path: Path) -> bool:
    """Make the producer of a file open another for its next line; False if it writes just now.

    Raises OSError if the file cannot be opened or changed.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.pread(fd, 1, 0) == b"{":  # a shell's
            left = path.with_name(path.name + LEFT)
            if left.exists():  # the name came again before the file before it was gone
                return False
            path.rename(left)
            return True
        _lock_alone(fd)
        os.fchmod(fd, 0o400)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def _lock_alone(fd: int) -> None:
    """Take the lock between two lines of the producer. Raises BlockingIOError if it has none."""
    for left in range(LOCK_TRIES, 0, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if left == 1:
                raise
            time.sleep(0.0001)
        else:
            return


def sweep(directory: Path) -> int:
    """Delete what shells that are gone have left behind beside their files; how many there were."""
    swept = 0
    for path in directory.glob(".qi-learn-*"):
        match = re.fullmatch(_NOTE, path.name)
        if match is not None and not alive(int(match["pid"])):
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # taken in just now


def _make_private(directory: Path) -> None:
    """Make a directory, and those above it that are not there, for their owner alone."""
    for place in (*reversed(directory.parents), directory):
        if not os.path.isdir(place):
            place.mkdir(mode=0o700, exist_ok=True)


class Spool:
    """A producer's end of the spool. It is thread-safe, and a fork gets a file of its own."""

    def __init__(
        self,
        directory: Path,
        source: str,
        *,
        clock: Callable[[], float] = time.time,
        largest: int = LARGEST,
    ) -> None:
        if not re.fullmatch(_SOURCE, source):
            raise ValueError(
                f"{source!r} cannot be the source of a spool: letters, digits, `_`, `.` and `-` "
                "only, as it names a file"
            )
        self._directory = directory
        self._source = source
        self._clock = clock
        self._largest = largest
        self._lock = threading.Lock()
        self._fd = -1
        self._pid = 0
        self._path = directory

    def append(
        self,
        kind: EventKind,
        body: Mapping[str, Any],
        *,
        author: Author = "unknown",
        project: str | None = None,
        id: str | None = None,
        ts: float | None = None,
    ) -> str:
        """Write one event and return its id: then it survives the death of this process.

        Raises SpoolError if the line cannot be written whole (disk full, directory gone, far too
        much waits already); nothing of it is left behind.
        """
        now = self._clock() if ts is None else ts
        event = Event(id or new_id(now), kind, now, self._source, body, author, project)
        return self.append_event(event, frame)

    def append_event(self, event: Event, framed: Callable[[Event], bytes]) -> str:
        """Write an event, whose line `framed` makes as `frame` would. Raises SpoolError."""
        try:
            line = framed(event)
            with self._lock:
                before = self._open()
                try:
                    self._write(line, before)
                finally:
                    self._unlock()
        except (OSError, ValueError) as error:
            raise SpoolError(
                f"The event ({event.kind}) could not be written to {self._directory}: "
                f"{getattr(error, 'strerror', None) or error}.",
                "Make room on the disk, and check who owns the directory.",
            ) from error
        return event.id

    def has_room(self, size: int) -> bool:
        """Whether so many bytes could be written now. It costs less than to make a long line.

        True if the system cannot say (macOS).
        """
        allocate = getattr(os, "posix_fallocate", None)
        if allocate is None:
            return True
        scratch = self._directory / f".qi-learn-room-{os.getpid()}"
        try:
            fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                allocate(fd, 0, size)
            finally:
                os.close(fd)
                scratch.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file; appending again opens another."""
        with self._lock:
            self._release()

    def _open(self) -> int:
        """Make sure of a file that may be written to, locked, and return its length."""
        if self._fd >= 0 and self._pid == os.getpid() and self._locked():
            status = os.fstat(self._fd)
            if status.st_size < ROTATE_AT and status.st_nlink and status.st_mode & stat.S_IWUSR:
                return status.st_size
        self._release()
        _make_private(self._directory)
        self._refuse_if_too_much()
        self._pid = os.getpid()
        start = int(self._clock() * 1e9)
        while self._fd < 0:
            path = self._directory / f"{self._source}-{self._pid}-{start}.jsonl"
            try:
                self._fd = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
                )
            except FileExistsError:
                start += 1
            self._path = path
        self._locked()
        return 0

    def _locked(self) -> bool:
        """Take the lock that keeps a reader from retiring the file; False if it does so now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks on this file system: its reader cannot retire it either
        return True

    def _unlock(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _refuse_if_too_much(self) -> None:
        sizes = (_size(path) for path in spool_files(self._directory))
        if sum(sizes) >= self._largest:
            raise OSError(
                errno.EDQUOT,
                f"{self._largest >> 20} MiB wait in the spool and are not taken in: "
                "`qi-learn status` says why",
            )

    def _write(self, line: bytes, before: int) -> None:
        try:
            rest = memoryview(line)
            while rest:
                # once; a second round only if the disk or a limit ended within the line, and that
                # write says why
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            try:
                os.ftruncate(self._fd, before)
            except OSError:
                self._release()  # half a line stays: what follows goes to a new file
                raise
            raise

    def _release(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
