"""Commits that "fix" something else blame nobody for a bug, as a person and a robot make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.store import feedback
from tests.support.played_day import Day
from tests.support.played_home import PlayedHome

TYPO = ("some numbers", "a few numbers")
CODE = '''\
def mean_of(values):
    """The mean of some numbers."""
    total = sum(float(value) for value in values)
    return total / len(values)
'''
ROBOT = "pre-commit-ci[bot] <66853113+pre-commit-ci[bot]@users.noreply.github.com>"


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    with PlayedHome(tmp_path) as home:
        yield Day(home, "python")


def _committed(day: Day) -> str:
    turn = day.ask(CODE)
    day.paste(CODE)
    day.repo.commit("Mean")
    return turn


def _change(day: Day, old: str, new: str, *commit: str) -> None:
    text = day.text()
    assert old in text
    day.repo.save(day.file, text.replace(old, new))
    day.repo.git("add", "-A")
    day.repo.move_head("commit", "-q", *commit)


def _bug(day: Day, turn: str) -> bool | None:
    return feedback.load_outcome(day.home.store, turn).bug_introduced


def test_a_typo_in_a_docstring_blames_nobody_and_a_fix_of_the_code_does(day: Day) -> None:
    turn = _committed(day)
    _change(day, *TYPO, "-m", "Fix typo in docstring")
    assert _bug(day, turn) is None
    _change(day, "len(values)", "(len(values) or 1)", "-m", "fix: mean of nothing")
    assert _bug(day, turn) is True


def test_a_robots_formatting_blames_nobody(day: Day) -> None:
    turn = _committed(day)
    wrapped = "sum(\n        float(value)\n        for value in values\n    )"
    old = "sum(float(value) for value in values)"
    said = "[pre-commit.ci] auto fixes from pre-commit.com hooks"
    _change(day, old, wrapped, "--author", ROBOT, "-m", said)
    assert _bug(day, turn) is None
    _change(day, "len(values)", "max(1, len(values))", "--author", ROBOT, "-m", "fix: zero")
    assert _bug(day, turn) is None, "a robot's repair"
