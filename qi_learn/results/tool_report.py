"""What a tool said of one run, whatever the tool."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MOST = 2000
"""How many names a report keeps; of a longer list nothing is known."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class ToolReport:
    """The counts of a run, and names that are the same from run to run."""

    failed: int | None
    """Tests that failed, or errors that were found."""
    passed: int | None = None
    """Tests that passed; None if the tool runs no tests, or does not count them."""
    failing: tuple[str, ...] | None = None
    """What failed: a test, or an error by its file and code."""
    tests: tuple[str, ...] | None = None
    """The files of the tests that ran, as the tool names them."""
    interrupted: bool = False
    """Whether it was ended by Ctrl-C."""


def without_colours(text: str) -> str:
    """A text as it is without a terminal."""
    return _COLOURS.sub("", text).replace("\r\n", "\n")


def kept(names: Iterable[str]) -> tuple[str, ...] | None:
    """Names, each once, in order; None if they are too many."""
    once = tuple(dict.fromkeys(names))
    return once if len(once) <= MOST else None


def numbered(names: Iterable[str]) -> tuple[str, ...] | None:
    """Names of errors; one that comes again has its number: `a.py: E501 (2)`."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return kept(found)
