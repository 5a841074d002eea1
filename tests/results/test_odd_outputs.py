"""What is no report says nothing, however odd it is, and soon."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from qi_learn.results.by_tool import printed_report, written_report

RECORDED = sorted(p for p in (Path(__file__).parent / "recorded").iterdir() if p.suffix != ".md")
TOOLS = ("pytest", "cargo", "go", "npm", "make", "tsc", "mypy", "eslint", "ruff", "vitest", "jest")
ODD = ("NaN", "1e999", "-1", "9" * 30, "null", "[]", "{}", '""', "\0", "\u0661", "\x1b[31m", "\r")
VALUE = re.compile(r"\d+|\"[^\"]*\"|true|false")


def read(text: str) -> None:
    """Have every reader look at a text."""
    written_report(text)
    for tool in TOOLS:
        printed_report(tool, text)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_json_that_is_too_deep_is_no_report(text: str) -> None:
    assert written_report(text) is None
    assert all(printed_report(tool, text) is None for tool in TOOLS)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
def test_a_report_that_is_torn_or_odd_is_no_error(file: Path) -> None:
    picks, text = random.Random(3), file.read_text(encoding="utf-8")
    values = list(VALUE.finditer(text))
    for _ in range(8):
        read(text[: picks.randrange(len(text) + 1)])
        if values:
            value = picks.choice(values)
            read(text[: value.start()] + picks.choice(ODD) + text[value.end() :])
