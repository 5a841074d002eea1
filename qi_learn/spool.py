"""The spool: append-only files of events.

It lies between the processes that see something and the one that writes the database.

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
from qi_learn.ids import new_id
from qi_learn.records import AUTHORS, EVENT_KINDS, Author, Event, EventKind

ROTATE_AT = 8 * 1024 * 1024
FORMAT = 1
_NAME = re.compile(r"(?P<source>.+)-(?P<pid>\d+)-(?P<start>\d+)\.jsonl")
_SOURCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FRAME = re.compile(rb"[0-9a-f]{8} ")


# --- lines ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, from byte `start` up to `end`: an event, or what is wrong with it."""

    start: int
    end: int
    event: Event | None
    raw: bytes
    problem: str | None = None


def frame(event: Event) -> bytes:
    """The event as a framed line, newline included.

    Raises ValueError if its body is not plain JSON.
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
        line = json.dumps(value, separators=(",", ":"), allow_nan=False, default=_as_dict)
    except TypeError as error:
        raise ValueError(f"the body of a {event.kind} event is not plain JSON: {error}") from error
    text = line.encode("ascii")
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
    """The lines of a file from a byte offset on.

    A last line without its newline is left for later while its producer lives; then it is torn.
    Raises OSError if the file cannot be read.
    """
    # looked at before reading: of a producer that dies later no half line is taken for torn
    alive = producer_alive(path)
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
        event = parse(
            raw,
            default_id=f"{path.name}:{start}",
            default_ts=changed,
            default_source=_source(path),
        )
    except ValueError as error:
        return Line(start, end, None, raw, str(error))
    return Line(start, end, event, raw)


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
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{key} is not a text")
    return text or default


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
    """The files of a spool, oldest producer first; empty if there is no spool yet."""
    files = [
        (int(match["start"]), path)
        for path in directory.glob("*.jsonl")
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(files)]


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
    """Whether no process will write to this file again: it is full, or its producer is gone.

    Ask before reading it to the end, delete afterwards.
    """
    return path.stat().st_size >= ROTATE_AT or not producer_alive(path)


def _source(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    return match["source"] if match else "unknown"


class Spool:
    """A producer's end of the spool. It is thread-safe, and a fork gets a file of its own."""

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
        """Write one event and return its id: then it survives the death of this process.

        Raises SpoolError if the line cannot be written whole (disk full, directory gone); nothing
        of it is left behind.
        """
        now = self._clock() if ts is None else ts
        event = Event(id or new_id(now), kind, now, self._source, body, author, project)
        return self.append_event(event, frame)

    def append_event(self, event: Event, framed: Callable[[Event], bytes]) -> str:
        """Write an event, whose line `framed` makes as `frame` would. Raises SpoolError."""
        try:
            line = framed(event)
            with self._lock:
                self._write(line, self._open())
        except (OSError, ValueError) as error:
            raise SpoolError(
                f"The event ({event.kind}) could not be written to {self._directory}: {error}",
                "Make room on the disk, and check who owns the directory.",
            ) from error
        return event.id

    def close(self) -> None:
        """Let go of the file; appending again opens another."""
        with self._lock:
            self._release()

    def _open(self) -> int:
        """Make sure of a file that may be written to, and return its length."""
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
            while rest:
                # once; a second round only if the disk or a limit ended within the line, and that
                # write says why
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
