"""Which module reads what a tool printed, and what a file of a report holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qi_learn.results.cargo_output import cargo_report
from qi_learn.results.go_output import go_report
from qi_learn.results.jest_output import jest_json_report, jest_report
from qi_learn.results.junit_xml import junit_report
from qi_learn.results.lint_json import eslint_report, ruff_report
from qi_learn.results.mypy_output import mypy_report
from qi_learn.results.node_output import node_report
from qi_learn.results.pytest_output import pytest_report
from qi_learn.results.sarif import sarif_report
from qi_learn.results.tool_report import ToolReport
from qi_learn.results.tsc_output import tsc_report
from qi_learn.results.unittest_output import unittest_report
from qi_learn.results.vitest_output import vitest_report

Reader = Callable[[str], ToolReport | None]
_NODE: tuple[Reader, ...] = (jest_json_report, jest_report, vitest_report, tsc_report)
_TESTS: tuple[Reader, ...] = (pytest_report, *_NODE, cargo_report, go_report)
_READERS: dict[str, tuple[Reader, ...]] = {
    **dict.fromkeys(("pytest", "py.test", "tox", "nox"), (pytest_report,)),
    "unittest": (unittest_report,),
    "cargo": (cargo_report,),
    "go": (go_report,),
    "jest": (jest_json_report, jest_report),
    "vitest": (jest_json_report, vitest_report),
    "node": (node_report,),
    "tsc": (tsc_report,),
    "mypy": (mypy_report,),
    "eslint": (eslint_report, sarif_report),
    "ruff": (ruff_report, sarif_report),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), _NODE),
    **dict.fromkeys(("make", "gmake", "just"), _TESTS),
}
_FILES: tuple[Reader, ...] = (
    *(junit_report, jest_json_report, sarif_report, eslint_report, ruff_report, mypy_report),
    *(go_report, cargo_report),
)


def printed_report(tool: str, output: str) -> ToolReport | None:
    """The report in what a tool printed, by the tool's name; None if it has none."""
    return _first(_READERS.get(tool, ()), output)


def written_report(text: str) -> ToolReport | None:
    """The report that a file holds, by its content; None if it holds none."""
    return _first(_FILES, text)


def _first(readers: Sequence[Reader], text: str) -> ToolReport | None:
    found = (report for read in readers if (report := read(text)) is not None)
    return next(found, None)
