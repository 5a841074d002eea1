"""What of a repository is learned from, and what is measured with: the past, and what came after.

The invariant: every test is of a later commit than everything that is learned, and most of its
lines (`dataset.telling_lines`) are in nothing that is learned. A repository is learned for what
will be written in it. Tests taken between what is learned would be answered from code that came
after them.

Not covered: tests that are like each other, and like what another repository teaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.bench.functions import DemoFunction, written
from qi_learn.bench.repositories import Introduced
from qi_learn.dataset.telling_lines import is_known, telling_lines


@dataclass(frozen=True, slots=True)
class HistorySplit:
    """Functions of a history, oldest first."""

    learned: tuple[DemoFunction, ...]
    tests: tuple[DemoFunction, ...]


def split_history(history: Sequence[Introduced], *, learned: int, tests: int) -> HistorySplit:
    """The newest functions that can be tests, and those right before the first of them.

    `history`: oldest first. If it is too short, there are fewer of either.
    """
    split = HistorySplit((), ())
    for first in range(max(0, len(history) - tests), -1, -1):
        begin = _of_commit(history, first)
        before = tuple(one.function for one in history[max(0, begin - learned) : begin])
        if len(before) < learned and split.learned:
            return split
        lines = {line for function in before for line in telling_lines(written(function))}
        after = (one.function for one in history[first:])
        unknown = tuple(one for one in after if not is_known(written(one), lines))[:tests]
        split = HistorySplit(before, unknown)
        if len(unknown) == tests:
            return split
    return split


def _of_commit(history: Sequence[Introduced], at: int) -> int:
    """The index of the first function of the commit that this one is of."""
    while at and history[at - 1].commit == history[at].commit:
        at -= 1
    return at
