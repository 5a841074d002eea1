"""Code that is still being typed, or taken piece by piece, into the place where it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from qi_learn.lexer import tokens_by_line
from qi_learn.track.region import Region

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_CLOSE = _CLOSING | {",", ";"}
"""What a line that only closes brackets is made of."""


def grown(region: Region, lines: Sequence[str], code: str) -> Region:
    """The region with the lines directly below it that come next in the code of its suggestion.

    A line that only closes brackets is one of them while more are open than in that code.
    """
    if region.name is not None or region.end >= len(lines):
        return region
    spelt = [tuple(tokens) for tokens in tokens_by_line(code.split("\n")) if tokens]
    follows = set(pairwise(spelt))
    near = tokens_by_line(lines[region.start : region.end + 2 * len(spelt)])
    end, opened = region.end, -sum(map(_depth, spelt))
    last: tuple[str, ...] = ()
    for n, tokens in enumerate(map(tuple, near)):
        if region.start + n < region.end:
            last = tokens or last
        elif tokens and (last, tokens) in follows and (opened > 0 or not {*tokens} <= _CLOSE):
            end, last = region.start + n + 1, tokens
        elif tokens:
            break
        opened += _depth(tokens)
    return replace(region, end=end)


def _depth(tokens: Sequence[str]) -> int:
    """How many brackets are open at the end of some code."""
    return sum(t in _OPENING for t in tokens) - sum(t in _CLOSING for t in tokens)
