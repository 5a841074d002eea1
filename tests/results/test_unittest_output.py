"""What Python's unittest prints, as the one here does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn.results.by_tool import printed_report
from qi_learn.results.tool_report import ToolReport

TESTS = """
import unittest

class Sums(unittest.TestCase):
    def test_a(self): self.assertEqual(1, 2)
    def test_b(self): print("Ran 9 tests in 1s")
    def test_c(self): 1 / 0
    @unittest.skip("slow")
    def test_d(self): pass
"""


def ran(directory: Path, *words: str) -> ToolReport:
    done = subprocess.run(
        (sys.executable, "-m", "unittest", *words),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    report = printed_report("unittest", done.stdout)
    assert report is not None, done.stdout
    return report


def test_failures_and_errors_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "test_sums.py").write_text(TESTS)
    named = ("test_sums.Sums.test_c", "test_sums.Sums.test_a")
    assert ran(tmp_path) == ToolReport(2, 1, named)
    assert ran(tmp_path, "-q", "test_sums.Sums.test_b") == ToolReport(0, 1, ())


def test_no_tests_are_none_that_passed(tmp_path: Path) -> None:
    assert ran(tmp_path, "-q") == ToolReport(0, 0, ())


@pytest.mark.parametrize("text", ["", "OK", "Ran 3 tests in 0.1s\n", "Ran three tests in 1s\n\nOK"])
def test_other_words_are_no_report(text: str) -> None:
    assert printed_report("unittest", text) is None
