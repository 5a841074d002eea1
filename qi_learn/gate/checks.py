"""How the rules write a check down.

A yes or no, a number that is missing, two models that must be paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qi_learn.records import Check


def yes_or_no(name: str, passed: bool, good: str, bad: str) -> Check:
    """A check without a number, with the reason for either answer."""
    return Check(name, passed, None, None, None, None, good if passed else bad)


def without_number(name: str, limit: float | None, reason: str, *, passes: bool = False) -> Check:
    """A check whose number is missing: what could not be measured is not passed."""
    return Check(name, passes, None, None, None, limit, reason)


def finite_or_none(value: float) -> float | None:
    """A bound as it is written down: None stands for a bound that is infinite or no number."""
    return value if math.isfinite(value) else None


def require_same(left: Sequence[object], right: Sequence[object]) -> None:
    """Raise ValueError if two measurements that must be paired are of different examples."""
    if tuple(left) != tuple(right):
        raise ValueError("two models were measured on different examples and cannot be compared")


def p_words(p: float) -> str:
    """A p-value for a reader, who takes nothing for impossible."""
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
