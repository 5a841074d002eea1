"""Lines of the spool that could not be understood, kept for who looks into it.

`spool/bad/<file>` has one line of JSON for each: where it stood, what was wrong, its sha256, and
its text without secrets. The line as it came may hold some, so it is nowhere kept; nor is what a
hook was given, which may be whole files. Bounded: the oldest files go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.errors import DiskFull
from qi_learn.paths import replace_file
from qi_learn.redact import Redactor
from qi_learn.spool import Line

MOST_BYTES = 8 * 1024 * 1024
"""The most that `spool/bad` keeps, in bytes of all its files."""
MOST_FILES = 1000
MOST_TEXT = 20_000
"""Characters of a line that are kept."""
_FRAME = re.compile(r"[0-9a-f]{8} ")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, and what is wrong with it."""

    line: Line
    problem: str


def set_aside(path: Path, length: int, bad: Sequence[BadLine], redactor: Redactor) -> int:
    """Write bad lines into their file, behind what the database knows of; returns its new length.

    The database knows of the first `length` bytes. Raises DiskFull if they cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "r+b") as file:
            file.truncate(min(length, os.fstat(file.fileno()).st_size))  # the file may have gone
            file.seek(0, os.SEEK_END)
            file.write(b"".join(_kept(one, redactor) for one in bad))
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        raise DiskFull(
            f"Bad lines of the spool cannot be set aside in {path}: {error}",
            "Make room on the disk; the lines wait in the spool.",
        ) from error


def redact_older(directory: Path, redactor: Redactor) -> None:
    """Rewrite the files of older versions, which kept lines as they came (`*.jsonl`)."""
    for path in directory.glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        found = [Line(0, len(raw), None, raw) for raw in lines]
        bad = [BadLine(line, "set aside by an older version") for line in found]
        set_aside(path.with_name(f"{path.name}.older"), 0, bad, redactor)
        path.unlink()


def redact_again(directory: Path, redactor: Redactor, *, but: Collection[str]) -> int:
    """Look through the kept lines again; how many were rewritten.

    `but`: names of files that still grow, whose length the database knows.
    """
    done = 0
    for path in sorted(directory.glob("*")):
        if path.name in but or not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        clean = [_again(line, redactor) for line in lines]
        if clean != lines:
            replace_file(path, "".join(f"{line}\n" for line in clean))
            done += sum(new != old for new, old in zip(clean, lines, strict=True))
    return done


def _again(line: str, redactor: Redactor) -> str:
    try:
        kept = json.loads(line)
        texts = {name: redactor.text(str(kept[name])) for name in ("problem", "text")}
    except (ValueError, TypeError, KeyError):
        return redactor.text(line)
    return line if kept == {**kept, **texts} else json.dumps({**kept, **texts})


def prune(directory: Path) -> None:
    """Delete what is too much, oldest first."""
    files = []
    for path in directory.glob("*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    room = MOST_BYTES
    for number, (_, size, path) in enumerate(sorted(files, reverse=True)):
        room -= size
        if room < 0 or number >= MOST_FILES:
            with contextlib.suppress(OSError):
                path.unlink()


def drop_lines(directory: Path, meant: Callable[[str, float], bool]) -> int:
    """Delete the lines that are `meant` (their text, and the time of their file); how many.

    What is left of a file is renamed into its place.
    """
    gone = 0
    for path in directory.glob("*"):
        at = path.stat().st_mtime
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not meant(_words(line), at)]
        gone += len(lines) - len(kept)
        if lines and not kept:
            path.unlink()
        elif len(kept) < len(lines):
            replace_file(path, b"".join(kept).decode("utf-8", "surrogateescape"))
    return gone


def _words(line: bytes) -> str:
    """What stood in the line that came, without what was written beside it; an older one whole."""
    text = line.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["text"])
    except (ValueError, TypeError, KeyError):
        return text


def _kept(bad: BadLine, redactor: Redactor) -> bytes:
    raw = bad.line.raw
    value = {
        "at": bad.line.start,
        "problem": redactor.text(bad.problem),
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "text": _told(bad.line, redactor)[:MOST_TEXT],
    }
    return json.dumps(value).encode("ascii") + b"\n"


def _told(line: Line, redactor: Redactor) -> str:
    event = line.event
    if event is None or event.kind != "hook":
        return redacted_line(line.raw, redactor)
    known = {"ts": event.ts, "kind": event.kind, "source": event.source, "project": event.project}
    return json.dumps(redactor.value(known), ensure_ascii=False)


def redacted_line(raw: bytes, redactor: Redactor) -> str:
    """A line without secrets: as JSON if it is some, with the JSON in its texts, or as a text."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n")
    frame = _FRAME.match(text)
    body = text[frame.end() :] if frame else text
    try:
        clean = _inner(json.loads(body), redactor)
    except (ValueError, RecursionError):
        return redactor.text(text)
    return (frame[0] if frame else "") + json.dumps(clean, ensure_ascii=False, default=str)


def _inner(value: Any, redactor: Redactor) -> Any:
    """A value redacted, and so what is JSON within its texts: a request is one."""
    if isinstance(value, dict):
        value = {name: _inner(inner, redactor) for name, inner in value.items()}
    elif isinstance(value, list):
        value = [_inner(inner, redactor) for inner in value]
    elif isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(_inner(json.loads(value), redactor), ensure_ascii=False)
    return redactor.value(value)
