"""What of a suggestion is compared with a saved file before it is compared closely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

from qi_learn.lexer import tokens_by_line
from qi_learn.track.boilerplate import is_boilerplate, is_head, listed

REMEMBERED = 500, 1500
"""The sketches of so many suggestions are remembered, of those with at most so many characters."""
HEAD, FRAME = 16, 40
"""The head of a definition, and several heads with so many tokens are somebody's, also without what
they do.
"""
FEW_WORDS = 5
_TEXTS = ('"""', "'''")


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
    nothing = listed(lines)
    telling = [
        (line, tokens)
        for n, (line, tokens) in enumerate(zip(lines, tokens_by_line(lines), strict=True))
        if tokens and n not in nothing and not is_boilerplate(line)
    ]
    if _is_frame(lines, telling):
        telling = []
    own = [token for _, tokens in telling for token in tokens]
    counts = Counter(map(intern, own))
    solid = (line.strip() for line in lines)
    return Sketch(tuple(intern(line) for line in solid if line), dict(counts), len(own))


def _is_frame(lines: Sequence[str], telling: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Whether code is a getter, or heads of definitions without anything that they do.

    Empty tests, setters, what sets fields to their own names; a few words of documentation are no
    more.
    """
    said = sum(any(map(str.isalnum, line)) for line in lines)
    if said == 2 and len(telling) == 1 and telling[0][0].rstrip()[-1:] in ("{", ":"):
        return True
    if said == len(telling) or sum(len(tokens) for _, tokens in telling) >= FRAME:
        return False
    return all(
        _is_short_text(line) or (is_head(line) and len(tokens) < HEAD) for line, tokens in telling
    )


def _is_short_text(line: str) -> bool:
    own = line.strip()
    return own.startswith(_TEXTS) and own.endswith(_TEXTS) and 1 < len(own.split()) <= FEW_WORDS


def remembered(suggestion: str) -> Sketch:
    """The same, found once for those that are looked for in many files."""
    short = len(suggestion) <= REMEMBERED[1]
    return _remembered(suggestion) if short else sketch_of(suggestion)


_remembered = lru_cache(maxsize=REMEMBERED[0])(sketch_of)
