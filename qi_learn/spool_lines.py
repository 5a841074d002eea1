"""The lines of the spool, and the names of its files.

Three kinds of line are read. Framed, as Python writes them: `<crc32 of the JSON, 8 hex> <JSON>`.
Bare, as shells and editors write them: `{...}`; those may lack `id` (then it is file name, offset
and the line's own checksum, because a name can come again), `ts` (then it is the file's time of
change) and `source` (then it is the file name's). Raw, as a shell writes what it does not look at:
a bare line, two NUL, and texts `name=...` with NUL behind each, which may hold newlines; they
become `raw` of the body.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any

from qi_learn.record_class import dataclass
from qi_learn.records import AUTHORS, EVENT_KINDS, Event

FORMAT = 1
LEFT = ".left"
"""What a file is called behind its name once its shell has been made to open another."""
NAME = re.compile(r"(?P<source>.+)-(?P<pid>\d+)-(?P<start>\d+)\.jsonl(?:\.left)?")
_FRAME = re.compile(rb"[0-9a-f]{8} ")
_RAW = b"}\0\0"
"""What stands before the texts of a raw line, and nowhere else in one."""


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
    text, raw, texts = line.rstrip(b"\r\n").partition(_RAW)
    text += raw[:1]
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
    event = _event(value, default_id, default_ts, default_source)
    return replace(event, body={**event.body, "raw": _texts(texts)}) if raw else event


def _texts(texts: bytes) -> dict[str, str]:
    *parts, end = texts.decode("utf-8").split("\0")
    pairs = {name: text for name, _, text in (part.partition("=") for part in parts)}
    if end or len(pairs) < len(parts):
        raise ValueError("the texts of a raw line are not whole")
    return pairs


def read_from(path: Path, offset: int = 0) -> Iterator[Line]:
    """The lines of a file from a byte offset on.

    A last line without its newline is left for later while its producer lives; then it is torn.
    Raises OSError if the file cannot be read.
    """
    # looked at before reading: of a producer that dies later no half line is taken for torn
    living = producer_alive(path)
    with path.open("rb") as file:
        file.seek(offset)
        changed = os.fstat(file.fileno()).st_mtime
        start = offset
        while raw := _line_of(file):
            if living and not _is_whole(raw) and not file.peek(1):
                return
            yield _line(path, start, raw, changed)
            start += len(raw)


def _line_of(file: BufferedReader) -> bytes:
    """The next line of a file, a raw one with all its newlines.

    If another begins within that, in its head or in its texts, it is torn there.
    """
    line = file.readline()
    if not _is_raw(line):
        return line
    lines = [line]
    mark = line.index(_RAW)
    spans = [(1, mark), (mark + 1, line.find(_RAW, mark + 1))]
    while True:
        if (head := _another(line, spans)) >= 0:
            file.seek(head - len(line), os.SEEK_CUR)
            lines[-1] = line[:head]
            break
        if line.endswith(b"\0\n") or not (line := file.readline()):
            break
        lines.append(line)
        spans = [(0, line.find(_RAW))]
    return b"".join(lines)


def _another(line: bytes, spans: Iterable[tuple[int, int]]) -> int:
    """Where a line begins in front of a mark (each span ends at one, or at -1); -1 if none does."""
    heads = (line.rfind(b'{"v":', begin, mark) for begin, mark in spans if mark >= 0)
    return next((head for head in heads if head >= 0), -1)


def _is_raw(line: bytes) -> bool:
    return line.startswith(b"{") and _RAW in line


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\0\n" if _is_raw(line) else b"\n")


def _line(path: Path, start: int, raw: bytes, changed: float) -> Line:
    end = start + len(raw)
    if not _is_whole(raw):
        return Line(start, end, None, raw, "the line is torn: its producer died while writing it")
    try:
        event = parse(
            raw,
            default_id=f"{path.name.removesuffix(LEFT)}:{start}:{zlib.crc32(raw):08x}",
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


def producer_alive(path: Path) -> bool:
    """Whether the process named in the file's name still runs.

    A file with another name has no living producer.
    """
    match = NAME.fullmatch(path.name)
    return match is not None and alive(int(match["pid"]))


def alive(pid: int) -> bool:
    """Whether a process with this id runs."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _source(path: Path) -> str:
    match = NAME.fullmatch(path.name)
    return match["source"] if match else "unknown"
