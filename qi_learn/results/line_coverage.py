"""Which lines of which files a run of tests executed: coverage.py's JSON, LCOV, Cobertura's XML.

Lines are numbered from 1, files are named as the report names them. A text of another form is no
report. A report in which a file is listed several times (once a test) has its lines together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from qi_learn.record_class import dataclass
from qi_learn.results.report_xml import report_root


@dataclass(frozen=True, slots=True)
class FileLines:
    """The lines of one file that can be executed."""

    ran: frozenset[int]
    missed: frozenset[int] | None
    """Those that were not; None if the report does not say them."""


LineCoverage = Mapping[str, FileLines]


def read_coverage(text: str) -> LineCoverage | None:
    """The coverage in a report's text; None if it is none."""
    start = text[:2000].lstrip()
    if start.startswith("{"):
        return _of_json(text)
    if start.startswith("<"):
        return _of_cobertura(text)
    return _of_lcov(text) if start.startswith(("TN:", "SF:")) else None


def _of_json(text: str) -> LineCoverage | None:
    try:
        told = json.loads(text)
        files: Any = told["files"]
        return {
            str(name): FileLines(_numbers(of["executed_lines"]), _numbers(of["missing_lines"]))
            for name, of in files.items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None


def _numbers(lines: Any) -> frozenset[int]:
    return frozenset(int(line) for line in lines)


def _of_lcov(text: str) -> LineCoverage | None:
    found: dict[str, dict[int, bool]] = {}
    lines: dict[int, bool] | None = None
    for told in text.split("\n"):
        word, _, rest = told.strip().partition(":")
        if word == "SF":
            lines = found.setdefault(rest, {})
        elif word == "DA" and lines is not None:
            number, _, counted = rest.partition(",")
            count = counted.partition(",")[0]
            if number.isdecimal() and count.isdecimal():
                lines[int(number)] = lines.get(int(number), False) or int(count) > 0
        elif word == "end_of_record":
            lines = None
    return _split(found) if found else None


def _of_cobertura(text: str) -> LineCoverage | None:
    root = report_root(text, "coverage")
    if root is None:
        return None
    sources = [source.text.strip() for source in root.iter("source") if source.text]
    found: dict[str, dict[int, bool]] = {}
    for of in root.iter("class"):
        name = of.get("filename") or ""
        # with several sources it is not said of which a file is
        place = str(PurePath(sources[0], name)) if len(sources) == 1 else name
        lines = found.setdefault(place, {})
        for line in of.iter("line"):
            number, hits = line.get("number") or "", line.get("hits") or ""
            if number.isdecimal() and hits.isdecimal():
                lines[int(number)] = lines.get(int(number), False) or int(hits) > 0
    return _split(found) if found else None


def _split(found: Mapping[str, Mapping[int, bool]]) -> LineCoverage:
    return {
        name: FileLines(
            frozenset(line for line, ran in lines.items() if ran),
            frozenset(line for line, ran in lines.items() if not ran),
        )
        for name, lines in found.items()
    }
