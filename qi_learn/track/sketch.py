"""What of a suggestion is compared with a saved file before it is compared closely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

from qi_learn.lexer import tokens_by_line
from qi_learn.track.boilerplate import is_boilerplate

REMEMBERED = 500, 1500
"""The sketches of so many suggestions are remembered, of those with at most so many characters."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The lines of a suggestion, and how often it has each token that is not boilerplate."""

    lines: tuple[str, ...]
    """Those that are not blank, without indentation."""
    counts: Mapping[str, int]
    size: int
    """How many of these tokens it has."""


def sketch_of(suggestion: str) -> Sketch:
    """The sketch of a suggestion. Tokens and lines that many suggestions have are kept once."""
    lines = suggestion.split("\n")
    telling = [
        (line, tokens)
        for line, tokens in zip(lines, tokens_by_line(lines), strict=True)
        if tokens and not is_boilerplate(line)
    ]
    said = sum(any(map(str.isalnum, line)) for line in lines)
    if said - len(telling) == 1 and len(telling) == 1 and telling[0][0].rstrip()[-1:] in ("{", ":"):
        telling = []  # a getter
    own = [token for _, tokens in telling for token in tokens]
    counts = Counter(map(intern, own))
    solid = (line.strip() for line in lines)
    return Sketch(tuple(intern(line) for line in solid if line), dict(counts), len(own))


def remembered(suggestion: str) -> Sketch:
    """The same, found once for those that are looked for in many files."""
    short = len(suggestion) <= REMEMBERED[1]
    return _remembered(suggestion) if short else sketch_of(suggestion)


_remembered = lru_cache(maxsize=REMEMBERED[0])(sketch_of)
