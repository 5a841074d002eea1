"""The spool: append-only files of events, between everybody who saw something and the one process
that writes the database.

The invariant: an event whose `append` returned is a complete line in a file, and stays one whatever
dies next. Every producer process has a file of its own (`<source>-<pid>-<start ns>.jsonl`, 0600, in
a directory 0700), opened with O_APPEND and written with one `write` per line, so nothing
interleaves. A file is never written again once it has reached `ROTATE_AT` bytes; so a drained file
is finished when it is that long or its producer is gone.

Two kinds of line are read. Framed, as Python writes them: `<crc32 of the JSON, 8 hex> <JSON>`.
Bare, as shells and editors write them: `{...}`; those may lack `id` (then it is file name and
offset), `ts` (then it is the file's time of change) and `source` (then it is the file name's).

What is not promised here: survival of power loss (no fsync), and what a line means (`capture.wire`,
`store.ingest`). Standard library only.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qi_learn.errors import SpoolError
from qi_learn.records import AUTHORS, EVENT_KINDS, Author, Event, EventKind

ROTATE_AT = 8 * 1024 * 1024
FORMAT = 1
_NAME = re.compile(r"(?P<source>.+)-(?P<pid>\d+)-(?P<start>\d+)\.jsonl")
_SOURCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FRAME = re.compile(rb"[0-9a-f]{8} ")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


# --- identifiers ----------------------------------------------------------------------------------


class _Ids:
    """The last identifier of this process, so that the next is greater.

    A forked child starts afresh: it would count on from its parent's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._milliseconds = 0
        self._random = 0
        self._chance = random.Random()

    def next(self, now: float) -> int:
        milliseconds = int(now * 1000)
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._milliseconds = os.getpid(), 0
                self._chance.seed(
                    os.urandom(32)
                )  # once a process: a system call for every event would cost more than the event
            if milliseconds > self._milliseconds:
                self._milliseconds, self._random = milliseconds, self._chance.getrandbits(79)
            else:
                self._random += 1
            return self._milliseconds << 80 | self._random


_ids = _Ids()


def new_id(now: float) -> str:
    """A ULID (26 characters, Crockford's base 32): 48 bits of milliseconds, 80 of chance.

    Within a process each is greater than the one before.
    """
    value = _ids.next(now)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


# --- lines ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, from byte `start` up to byte `end`: an event, or what is wrong with it."""

    start: int
    end: int
    event: Event | None
    raw: bytes
    problem: str | None = None


def frame(event: Event) -> bytes:
    """The event as a framed line, newline included.

    Raises ValueError where its body is not plain JSON.
    """
    value = {
        "v": FORMAT,
        "id": event.id,
        "ts": _iso(event.ts),
        "kind": event.kind,
        "source": event.source,
        "author": event.author,
        "project": event.project,
        "body": event.body,
    }
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=_as_dict).encode(
            "ascii"
        )
    except TypeError as error:
        raise ValueError(f"the body of a {event.kind} event is not plain JSON: {error}") from error
    return b"%08x %b\n" % (zlib.crc32(text), text)


def parse(
    line: bytes, *, default_id: str = "", default_ts: float = 0.0, default_source: str = "unknown"
) -> Event:
    """The event in a framed or bare line (with or without its newline).

    Raises ValueError that says what is wrong.
    """
    text = line.rstrip(b"\r\n")
    if _FRAME.match(text):
        checksum, text = text[:8], text[9:]
        if int(checksum, 16) != zlib.crc32(text):
            raise ValueError("the checksum does not match")
    elif not text.startswith(b"{"):
        raise ValueError("neither a framed nor a bare line")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    return _event(value, default_id, default_ts, default_source)


def read_from(path: Path, offset: int = 0) -> Iterator[Line]:
    """The lines of a file from a byte offset on. A last line without its newline is left for later
    while its producer lives; then it is torn.

    Raises OSError where the file cannot be read.
    """
    alive = producer_alive(
        path
    )  # asked before reading: who dies after it cannot have left half a line that we take for torn
    with path.open("rb") as file:
        file.seek(offset)
        changed = os.fstat(file.fileno()).st_mtime
        start = offset
        while raw := file.readline():
            if not raw.endswith(b"\n") and alive:
                return
            yield _line(path, start, raw, changed)
            start += len(raw)


def _line(path: Path, start: int, raw: bytes, changed: float) -> Line:
    end = start + len(raw)
    if not raw.endswith(b"\n"):
        return Line(start, end, None, raw, "the line is torn: its producer died while writing it")
    try:
        return Line(
            start,
            end,
            parse(
                raw,
                default_id=f"{path.name}:{start}",
                default_ts=changed,
                default_source=_source(path),
            ),
            raw,
        )
    except ValueError as error:
        return Line(start, end, None, raw, str(error))


def _event(value: Any, default_id: str, default_ts: float, default_source: str) -> Event:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if value.get("v", FORMAT) != FORMAT:
        raise ValueError(f"format {value['v']!r} is not known to this version")
    kind, author, body = value.get("kind"), value.get("author") or "unknown", value.get("body", {})
    if kind not in EVENT_KINDS:
        raise ValueError(f"unknown kind {kind!r}")
    if author not in AUTHORS:
        raise ValueError(f"unknown author {author!r}")
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")
    ts = _seconds(value["ts"]) if value.get("ts") is not None else default_ts
    project = _text(value, "project", "")
    return Event(
        _text(value, "id", default_id),
        kind,
        ts,
        _text(value, "source", default_source),
        body,
        author,
        project or None,
    )


def _text(value: Mapping[str, Any], key: str, default: str) -> str:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{key} is not a text")
    return found or default


def _iso(ts: float) -> str:
    seconds, milliseconds = divmod(round(ts * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"


def _seconds(text: Any) -> float:
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"ts {text!r} is not an ISO 8601 time") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not plain JSON")


# --- files ----------------------------------------------------------------------------------------


def spool_files(directory: Path) -> list[Path]:
    """The files of a spool, oldest producer first; empty where there is no spool yet."""
    found = [
        (int(match["start"]), path)
        for path in directory.glob("*.jsonl")
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def producer_alive(path: Path) -> bool:
    """Whether the process named in the file's name still runs.

    A file with another name has no living producer.
    """
    match = _NAME.fullmatch(path.name)
    if match is None or int(match["pid"]) <= 0:
        return False
    try:
        os.kill(int(match["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def finished(path: Path) -> bool:
    """Whether nobody will write to this file again: it is full, or its producer is gone.

    Ask before reading it to the end, delete afterwards.
    """
    return path.stat().st_size >= ROTATE_AT or not producer_alive(path)


def _source(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    return match["source"] if match else "unknown"


class Spool:
    """One producer's end. Safe to call from several threads; a fork gets a file of its own."""

    def __init__(
        self, directory: Path, source: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        if not _SOURCE.fullmatch(source):
            raise ValueError(
                f"{source!r} cannot be the source of a spool: letters, digits, `_`, `.` and `-` "
                "only, as it names a file"
            )
        self._directory = directory
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._fd = -1
        self._pid = 0

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
        """Writes one event and returns its id: then it survives the death of this process.

        Raises SpoolError where the line cannot be written whole (disk full, directory gone);
        nothing of it is left behind.
        """
        now = self._clock() if ts is None else ts
        event = Event(id or new_id(now), kind, now, self._source, body, author, project)
        try:
            line = frame(event)
            with self._lock:
                self._write(line, self._open())
        except (OSError, ValueError) as error:
            what = f"The event ({kind}) could not be written to {self._directory}: {error}"
            raise SpoolError(
                what, "Make room on the disk, and check who owns the directory."
            ) from error
        return event.id

    def close(self) -> None:
        """Lets go of the file. Appending again opens another."""
        with self._lock:
            self._release()

    def _open(self) -> int:
        """Makes sure of a file that may be written to; returns its length."""
        if self._fd >= 0 and self._pid == os.getpid():
            status = os.fstat(self._fd)
            if status.st_size < ROTATE_AT and status.st_nlink:
                return status.st_size
        self._release()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        return 0

    def _write(self, line: bytes, before: int) -> None:
        try:
            rest = memoryview(line)
            while rest:  # once; a second round only where the disk or a limit ended within the line, and then it says why
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            try:
                os.ftruncate(self._fd, before)
            finally:
                self._release()  # what follows goes to a new file, whatever became of this one
            raise

    def _release(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
