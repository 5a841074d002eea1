"""What of a suggestion is compared with a saved file before it is compared closely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

from qi_learn.code_text import code_tokens

REMEMBERED = 500, 1500
"""The sketches of so many suggestions are remembered, of those with at most so many characters."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The lines of a suggestion, and how often it has each token."""

    lines: tuple[str, ...]
    """Those that are not blank, without indentation."""
    counts: Mapping[str, int]
    size: int
    """How many tokens it has."""


def sketch_of(suggestion: str) -> Sketch:
    """The sketch of a suggestion. Tokens and lines that many suggestions have are kept once."""
    counts = Counter(map(intern, code_tokens(suggestion)))
    lines = (line.strip() for line in suggestion.split("\n"))
    return Sketch(tuple(intern(line) for line in lines if line), dict(counts), counts.total())


def remembered(suggestion: str) -> Sketch:
    """The same, found once for those that are looked for in many files."""
    short = len(suggestion) <= REMEMBERED[1]
    return _remembered(suggestion) if short else sketch_of(suggestion)


_remembered = lru_cache(maxsize=REMEMBERED[0])(sketch_of)
