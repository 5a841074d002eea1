"""The reports that a command of the person's writes by itself, or that its output is.

They are read where the person wants them, and never asked for, moved or changed: only a file that
was written while the command ran counts. Read are: the file that the command's words or pytest's
settings name, what Maven and Gradle always write, `junit.xml`, and the file into which the command
line sends the output. What goes to a terminal or into a pipe is not looked at.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qi_learn.capture.command_words import CommandWords
from qi_learn.capture.silent_commands import PYTEST
from qi_learn.results.by_tool import printed_report, written_report
from qi_learn.results.tool_report import ToolReport

LARGEST = 32 * 1024 * 1024
"""Bytes of a report; a larger one is not read."""
BEHIND = 0.1
"""Seconds by which the time of a file may be behind the clock: Linux stamps it by its last tick."""
MOST_FILES = 500
"""Files of one run that are read at most: Maven writes one for each class of tests."""
_NAMED = re.compile(
    r"--?(?:junit-?xml|outputFile(?:\.\w+)?|output-file|log-junit|junit-xml|o)(?:=|\s+)"
    r"[\"']?(?P<file>[^\s\"',\]]+)",
    re.IGNORECASE,
)
_PYTEST_SETTINGS = (
    *("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini"),
    "setup.cfg",
)
_USUAL: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("mvn", "mvnw"),
        ("**/target/surefire-reports/TEST-*.xml", "**/target/failsafe-reports/TEST-*.xml"),
    ),
    **dict.fromkeys(("gradle", "gradlew"), ("**/build/test-results/*/TEST-*.xml",)),
    "cargo": ("target/nextest/*/junit.xml",),
}
_ANY = ("junit.xml", "reports/junit.xml", "test-results/junit.xml", "test-results.xml")


class OutputFile:
    """The file into which standard output goes, from where it is now on; nothing if it is none."""

    def __init__(self) -> None:
        self._from = self._size()

    def text(self) -> str:
        """What came into it since; empty if it cannot be read."""
        if self._from is None or (end := self._size()) is None:
            return ""
        try:  # opened anew: ours is for writing alone, and its position is the person's
            with Path(f"/proc/self/fd/{sys.__stdout__.fileno()}").open("rb") as file:  # type: ignore[union-attr]  # `_size` saw that there is one
                file.seek(self._from)
                return file.read(min(end - self._from, LARGEST)).decode("utf-8", "replace")
        except (OSError, ValueError):
            return ""

    def _size(self) -> int | None:
        try:
            status = os.fstat(sys.__stdout__.fileno()) if sys.__stdout__ else None
        except (OSError, ValueError):
            return None
        return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None


def own_report(
    words: CommandWords,
    cwd: Path,
    environment: Mapping[str, str],
    began: float,
    output: OutputFile,
) -> ToolReport | None:
    """The report of a run that began at `began` (Unix seconds), or None."""
    reports = [
        report
        for file in _fresh(words, cwd, environment, began)
        if (report := _read(file)) is not None
    ]
    return _together(reports) if reports else printed_report(words.tool, output.text())


def _fresh(
    words: CommandWords, cwd: Path, environment: Mapping[str, str], began: float
) -> Iterator[Path]:
    """The files of reports that were written since."""
    base = cwd / words.place
    named = [cwd / name for name in _named_in(" ".join(words.words))]
    if words.tool in PYTEST:
        told = environment.get("PYTEST_ADDOPTS", "")
        named += [cwd / name for name in _named_in(told)]
        named += [cwd / name for file in _PYTEST_SETTINGS for name in _named_in(_text(cwd / file))]
    usual = _USUAL.get(words.tool, ())
    found = named or [path for form in usual for path in _matching(base, form)]
    count = 0
    for path in dict.fromkeys(found or [base / name for name in _ANY]):
        if written_since(path, began) and count < MOST_FILES:
            count += 1
            yield path


def _named_in(text: str) -> list[str]:
    return [match["file"] for match in _NAMED.finditer(text)]


def _matching(base: Path, form: str) -> list[Path]:
    try:
        return sorted(base.glob(form))
    except OSError:
        return []


def written_since(path: Path, began: float) -> bool:
    """Whether a file was written since a time (Unix seconds)."""
    try:
        status = path.stat()
    except OSError:
        return False
    written, whole = status.st_mtime, status.st_mtime_ns % 1_000_000_000 == 0
    # the clock of files is some milliseconds behind, and some of them keep whole seconds
    since = int(began) if whole else began - BEHIND
    return stat.S_ISREG(status.st_mode) and written >= since


def _read(path: Path) -> ToolReport | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
    except OSError:
        return None
    return written_report(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _together(reports: Sequence[ToolReport]) -> ToolReport:
    """Several reports of one run as one; what one of them does not know is not known."""
    first = reports[0]
    for other in reports[1:]:
        first = replace(
            first,
            failed=_sum(first.failed, other.failed),
            passed=_sum(first.passed, other.passed),
            failing=_joined(first.failing, other.failing),
            tests=_joined(first.tests, other.tests),
            interrupted=first.interrupted or other.interrupted,
        )
    return first


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _joined(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if one is None or other is None else tuple(dict.fromkeys((*one, *other)))
