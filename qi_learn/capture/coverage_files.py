"""The coverage that a run of tests left in the person's own files: read, never asked for.

Only what was written while the command ran counts, and only files of the project that changed
lately: no other holds a suggestion of which a result could speak. Read are the files that the
command's words name, and those that coverage.py, pytest-cov, jest, vitest, cargo-llvm-cov, gcovr
and others write by themselves; of coverage.py also its data file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qi_learn.capture.command_words import CommandWords
from qi_learn.capture.own_reports import written_since
from qi_learn.errors import NotFound
from qi_learn.outside.foreign_database import foreign_database
from qi_learn.results.line_coverage import FileLines, LineCoverage, read_coverage
from qi_learn.store.command_results import COMMAND_REACH

CoveredFile = tuple[str, tuple[int, ...], tuple[int, ...] | None]
"""A file as it is seen from where the command ran, and the lines that it ran and that it did not:
first and last of each range in turn.
"""
LARGEST = 8 * 1024 * 1024
"""Bytes of a report: reading it keeps the person waiting a second at most."""
MOST_FILES = 100
"""The files that are told at most, those that changed last."""
_NAMED = re.compile(
    r"(?:--cov-report[= ](?:xml|json|lcov):|--(?:lcov-path|output-path|output)[= ]| -o[= ]?)"
    r"[\"']?(?P<file>[^\s\"',]+)"
)
_USUAL = (
    *("coverage.json", "coverage.xml", "coverage.lcov", "lcov.info", "coverage.info"),
    *("coverage/lcov.info", "coverage/cobertura-coverage.xml", "coverage/coverage.xml"),
    *("target/llvm-cov/lcov.info", "build/coverage.info", ".coverage"),
)


def own_coverage(words: CommandWords, cwd: Path, began: float) -> tuple[CoveredFile, ...] | None:
    """What a run that began at `began` (Unix seconds) covered; None if it left no report of it."""
    read = [found for path in _fresh(words, cwd, began) if (found := _read(path)) is not None]
    if not read:
        return None
    placed: dict[Path, FileLines] = {}
    for base, coverage in read:
        for name, lines in coverage.items():
            path = Path(os.path.normpath(base / name))
            placed[path] = _both(placed.get(path), lines)
    return tuple(_told(path, cwd, lines) for path, lines in _lately(placed, began))


def _fresh(words: CommandWords, cwd: Path, began: float) -> Iterator[Path]:
    base = cwd / words.place
    named = [cwd / match["file"] for match in _NAMED.finditer(" ".join(words.words))]
    for path in dict.fromkeys((*named, *(base / name for name in _USUAL))):
        if written_since(path, began):
            yield path


def _read(path: Path) -> tuple[Path, LineCoverage] | None:
    """The coverage in a file, and the directory from which it names files."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"SQLite format 3"):
            coverage: LineCoverage | None = _data_file(path)
        else:
            coverage = read_coverage(path.read_text("utf-8", "replace"))
    except (OSError, NotFound, LookupError, TypeError, ValueError):
        return None  # it is another's file, in whatever state
    base = path.parent.parent if path.parent.name == "coverage" else path.parent
    return None if coverage is None else (base, coverage)


def _data_file(path: Path) -> LineCoverage:
    """What coverage.py's data file has: the lines that ran, as bits, or as steps between lines."""
    found: dict[str, set[int]] = {}
    with foreign_database(path) as data:
        names = {row["id"]: row["path"] for row in data.rows("SELECT id, path FROM file")}
        for row in data.rows("SELECT file_id, numbits FROM line_bits"):
            found.setdefault(names[row["file_id"]], set()).update(_set_bits(row["numbits"]))
        for row in data.rows("SELECT file_id, fromno, tono FROM arc"):
            steps = (n for n in (row["fromno"], row["tono"]) if n > 0)
            found.setdefault(names[row["file_id"]], set()).update(steps)
    return {name: FileLines(frozenset(lines), None) for name, lines in found.items()}


def _set_bits(bits: bytes) -> Iterator[int]:
    return (8 * n + bit for n, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1)


def _both(one: FileLines | None, other: FileLines) -> FileLines:
    """What two reports of one run say of a file."""
    if one is None:
        return other
    ran = one.ran | other.ran
    if one.missed is None or other.missed is None:
        missed = one.missed if other.missed is None else other.missed
        return FileLines(ran, None if missed is None else missed - ran)
    return FileLines(ran, (one.missed | other.missed) - ran)


def _lately(placed: Mapping[Path, FileLines], began: float) -> list[tuple[Path, FileLines]]:
    """The files that changed lately, the last first."""
    changed = [
        (at, path)
        for path in placed
        if (at := _changed(path)) is not None and at >= began - COMMAND_REACH
    ]
    return [(path, placed[path]) for _, path in sorted(changed, reverse=True)[:MOST_FILES]]


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):  # also what can be no file's name
        return None


def _told(path: Path, cwd: Path, lines: FileLines) -> CoveredFile:
    missed = None if lines.missed is None else _ranges(lines.missed)
    return os.path.relpath(path, cwd), _ranges(lines.ran), missed


def _ranges(lines: frozenset[int]) -> tuple[int, ...]:
    """Numbers as ranges: first and last in turn."""
    found: list[int] = []
    for line in sorted(lines):
        if found and line == found[-1] + 1:
            found[-1] = line
        else:
            found += [line, line]
    return tuple(found)
