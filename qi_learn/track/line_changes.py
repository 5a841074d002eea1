"""Which lines of a text are not in the one before it, and where they went or came.

The invariant: comparing is bounded in memory and time, and what would pass the bounds is not
guessed: it is not compared, and nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

MOST_CELLS = 64_000_000
"""The most pairs of lines that are compared at once: 8 MB, and some 20 ms."""


class NotCompared(Exception):
    """Two texts are too long and too unlike to be compared: what was added is unknown."""


@dataclass(frozen=True, slots=True)
class LineChanges:
    """What differs between a text and the next one."""

    added: frozenset[int]
    """Numbers of the lines of the next text that have no counterpart in the one before."""
    near: frozenset[int]
    """Numbers of the lines of the text before that went, or beside which something was added."""
    removed: bool
    """Whether lines went."""


def line_changes(before: Sequence[str], after: Sequence[str]) -> LineChanges:
    """The lines that were added and removed, order kept.

    Comparing takes memory by the product of the two lengths. Past `MOST_CELLS` the texts are cut at
    the lines that both have once, and compared piece by piece. Raises NotCompared if a piece is
    still too long.
    """
    added: set[int] = set()
    near: set[int] = set()
    removed = False
    for old_start, old_end, start, end in _pieces(before, after):
        for step in Indel.opcodes(before[old_start:old_end], after[start:end]):
            if step.tag == "equal":
                continue
            added.update(range(start + step.dest_start, start + step.dest_end))
            near.update(range(old_start + step.src_start, old_start + step.src_end))
            near.add(max(0, min(old_start + step.src_start, len(before) - 1)))
            removed = removed or step.src_end > step.src_start
    return LineChanges(frozenset(added), frozenset(near), removed)


def added_lines(before: Sequence[str], after: Sequence[str]) -> set[int]:
    """Numbers of the lines of `after` that have no counterpart in `before`. Raises NotCompared."""
    return set(line_changes(before, after).added)


def _pieces(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """What is to be compared: (start, end) in `before`, (start, end) in `after`."""
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    piece = (head, len(before) - tail, head, len(after) - tail)
    if _cells(piece) <= MOST_CELLS:
        return [piece]
    pieces = []
    old_start, start = piece[0], piece[2]
    for old, new in [*_anchors(before, after, piece), (piece[1], piece[3])]:
        pieces.append((old_start, old, start, new))
        old_start, start = old + 1, new + 1
    if any(_cells(p) > MOST_CELLS for p in pieces):
        raise NotCompared
    return pieces


def _cells(piece: tuple[int, int, int, int]) -> int:
    return (piece[1] - piece[0]) * (piece[3] - piece[2])


def _anchors(
    before: Sequence[str], after: Sequence[str], piece: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """The lines (old, new) that both texts have once, as many as stand in one order in both.

    By patience sorting: `ends[n]` is the lowest new line at which a chain of n + 1 can end.
    """
    old = _once(before, piece[0], piece[1])
    new = _once(after, piece[2], piece[3])
    pairs = sorted((i, new[line]) for line, i in old.items() if line in new)
    ends: list[int] = []
    last: list[int] = []
    earlier: list[int] = []
    for n, (_, at) in enumerate(pairs):
        rank = bisect_left(ends, at)
        ends[rank : rank + 1], last[rank : rank + 1] = [at], [n]
        earlier.append(last[rank - 1] if rank else -1)
    chain = []
    n = last[-1] if last else -1
    while n >= 0:
        chain.append(pairs[n])
        n = earlier[n]
    return chain[::-1]


def _once(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    """The lines that are in a piece once, with their numbers."""
    counts = Counter(lines[start:end])
    return {lines[i]: i for i in range(start, end) if counts[lines[i]] == 1}


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """How many lines at their beginning two texts have in common."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
