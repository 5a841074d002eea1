"""Up to where each file of another program was imported: `imports.json` in the state directory.

It only saves work: a turn has the same id whenever it is read, and counts once. A file is known by
a hash of its path, because a path may name what is to be forgotten, and by how it begins: one that
was written anew is read from its beginning.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.paths import Paths, replace_file

HEAD = 512
"""Bytes of a file's beginning by which it is known; a shorter one is known by less."""


@dataclass(slots=True)
class ImportCursors:
    """The cursors of a home, read once and written when they change."""

    file: Path
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, source: str, file: Path) -> str:
        """The cursor of a file; empty if it was not imported, or is another one by now."""
        entry = self._known.get(_name(source, file))
        if entry is None or not _begins(file, entry):
            return ""
        cursor = entry.get("cursor")
        return cursor if isinstance(cursor, str) else ""

    def unchanged(self, source: str, file: Path) -> bool:
        """Whether nothing was written to a file since it was read to its end."""
        entry = self._known.get(_name(source, file))
        return entry is not None and entry.get("look") is not None and entry["look"] == _look(file)

    def keep(self, source: str, file: Path, cursor: str, *, whole: bool) -> None:
        """Note up to where a file was read; `whole`: nothing of it waits for its end."""
        head = _head(file)
        self._known[_name(source, file)] = {
            "cursor": cursor,
            "bytes": len(head),
            "head": hashlib.sha256(head).hexdigest(),
            "look": _look(file) if whole else None,
        }

    def write(self) -> None:
        """Write them down. Raises OSError if there is no room."""
        replace_file(self.file, json.dumps({"files": self._known}) + "\n")


def read_cursors(paths: Paths) -> ImportCursors:
    """The cursors; none if they cannot be read: then all is read again, and counts once."""
    try:
        value = json.loads(paths.imports.read_text(encoding="utf-8"))
        known = {name: entry for name, entry in value["files"].items() if isinstance(entry, dict)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        known = {}
    return ImportCursors(paths.imports, known)


def _name(source: str, file: Path) -> str:
    text = f"{source}\0{file.absolute()}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _begins(file: Path, entry: dict[str, Any]) -> bool:
    length = entry.get("bytes")
    if not isinstance(length, int):
        return False
    head = _head(file)[:length]
    return hashlib.sha256(head).hexdigest() == entry.get("head")


def _head(file: Path) -> bytes:
    if not file.is_file():
        return b""  # a repository: its commits name themselves
    try:
        with file.open("rb") as lines:
            return lines.read(HEAD)
    except OSError:
        return b""


def _look(file: Path) -> list[int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns] if file.is_file() else None
