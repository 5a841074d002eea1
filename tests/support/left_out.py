"""What a run of the tests leaves out: skipped for want of a tool, or not asked for.

`QI_LEARN_TESTS_REQUIRE` (names, comma-separated: `bwrap,zsh,fish`) lists the tools whose absence is
a failure: continuous integration installs them first, so a test that misses one there has found a
fault. Elsewhere such a test is skipped, and the end of the run says so, in one line a reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

REQUIRE = "QI_LEARN_TESTS_REQUIRE"
NOT_ASKED_FOR = {
    "slow": "proofs that take minutes; `scripts/test --slow` runs them",
    "gpu": "they need a CUDA device; `pytest -m gpu` runs them",
}
"""By marker: what is said of tests that `-m` deselected."""


def absent(tool: str, reason: str) -> NoReturn:
    """Skip the test for want of `tool`; fail it if this run requires that tool."""
    required = {name.strip() for name in os.environ.get(REQUIRE, "").split(",")}
    if tool in required:
        pytest.fail(f"{REQUIRE} names {tool}. {reason}", pytrace=False)
    pytest.skip(reason)


def skipped_lines(reasons: Iterable[str]) -> list[str]:
    """One line a reason, the most frequent first, with how many tests it kept from running."""
    counted = Counter(" ".join(reason.removeprefix("Skipped: ").split()) for reason in reasons)
    return [f"SKIPPED {_tests(n)}: {reason}" for reason, n in counted.most_common()]


def deselected_lines(markers: Iterable[Iterable[str]]) -> list[str]:
    """One line for each known marker among the tests that were deselected, given their markers."""
    first = (next((m for m in NOT_ASKED_FOR if m in set(names)), "") for names in markers)
    counted = Counter(marker for marker in first if marker)
    return [f"LEFT OUT {_tests(counted[m])}: {NOT_ASKED_FOR[m]}" for m in sorted(counted)]


def _tests(number: int) -> str:
    return f"{number} test{'' if number == 1 else 's'}"
