"""Code that is still being typed, or taken piece by piece, into the place where it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from qi_learn.track.lexer import tokens_by_line
from qi_learn.track.region import Region


def grown(region: Region, lines: Sequence[str], code: str) -> Region:
    """The region with the lines directly below it that come next in the code of its suggestion."""
    if region.name is not None or region.end >= len(lines):
        return region
    spelt = [tuple(tokens) for tokens in tokens_by_line(code.split("\n")) if tokens]
    follows = set(pairwise(spelt))
    near = tokens_by_line(lines[region.start : region.end + 2 * len(spelt)])
    end = region.end
    last: tuple[str, ...] = ()
    for n, tokens in enumerate(map(tuple, near)):
        if region.start + n < region.end:
            last = tokens or last
        elif tokens and (last, tokens) in follows:
            end, last = region.start + n + 1, tokens
        elif tokens:
            break
    return replace(region, end=end)
