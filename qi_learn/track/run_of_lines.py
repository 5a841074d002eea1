"""A run of lines found again in the next text of its file, by the lines around it.

The invariant: only the lines around it say where it begins and ends, never its own. What is between
them is the run, whatever it became.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

AROUND = 3
"""Lines kept before and after a region."""
STRAYED = 30
"""How many lines may have been added between a region and the next line that is sure."""
GAP = 1000
"""How many lines between a region and the next line that is sure are compared."""


def track(old: Sequence[str], new: Sequence[str], start: int, end: int) -> tuple[int, int] | None:
    """What the lines `start` up to `end` of a text became in the next one (start, end).

    They are the lines between the nearest ones above and below that both texts have, and have once.
    None if those changed their order.
    """
    head = alike_from_top(old, new)
    tail = alike_from_top(old[head:][::-1], new[head:][::-1])
    grown = len(new) - len(old)
    if head >= end:
        return start, end
    if tail >= len(old) - start:
        return start + grown, end + grown
    if head >= start and tail >= len(old) - end:
        return start, end + grown
    first = start if head >= start else len(new) - _boundary(old[:start][::-1], new[::-1])
    last = end + grown if tail >= len(old) - end else _boundary(old[end:], new)
    return (first, last) if first <= last else None


def between(
    before: Sequence[str], after: Sequence[str], lines: Sequence[str]
) -> tuple[int, int] | None:
    """The lines between those that stood around the run (start, end).

    Of several gaps it is the narrowest with the most of them at its ends.
    """
    solid = [i for i, line in enumerate(lines) if line.strip()]
    texts = [lines[i] for i in solid]
    places = range(len(texts) + 1)
    tops, ends = {0: AROUND}, {len(texts): AROUND}
    if before:
        above = before[::-1]
        tops = {p: alike_from_top(texts[max(0, p - AROUND) : p][::-1], above) for p in places}
    if after:
        ends = {q: alike_from_top(texts[q : q + AROUND], after) for q in places}
    pair = _narrowest(tops, ends)
    if pair is None or pair[0] <= AROUND:
        return None
    _, _, p, q = pair
    return (solid[p - 1] + 1 if p else 0), (solid[q] if q < len(solid) else len(lines))


def alike_from_top(left: Sequence[str], right: Sequence[str]) -> int:
    """How many lines at their beginning two texts have in common."""
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count


def _boundary(outside: Sequence[str], new: Sequence[str]) -> int:
    """The line of `new` at which the region ends, if `outside` are the old lines from its end on.

    The first of them that both texts have, and have once, is sure. Of the lines between it and the
    region as many as possible stay outside.
    """
    here: dict[str, list[int]] = {}
    for i, line in enumerate(new):
        here.setdefault(line, []).append(i)
    counts = Counter(outside)
    sure = next(
        (
            n
            for n, line in enumerate(outside)
            if line.strip() and len(here.get(line, ())) == 1 and counts[line] == 1
        ),
        None,
    )
    if sure is None:
        return len(new)
    at = here[outside[sure]][0]
    gap = outside[:sure]
    kept = {
        i: sum(1 for line in gap[: alike_from_top(gap, new[i : min(at, i + GAP)])] if line.strip())
        for i in range(max(0, at - min(sure, GAP) - STRAYED), at)
    }
    best = max(kept, key=lambda i: (kept[i], -abs(at - sure - i)), default=at)
    return best if kept.get(best) else at - alike_from_top(gap[::-1], new[:at][::-1])


def _narrowest(
    tops: Mapping[int, int], ends: Mapping[int, int]
) -> tuple[int, int, int, int] | None:
    """(lines alike, minus the gap's lines, its start, its end): the largest of all pairs.

    For each end only the last start before it counts, of those with as many lines alike.
    """
    best: tuple[int, int, int, int] | None = None
    latest: dict[int, int] = {}
    for place in sorted({*tops, *ends}):
        if tops.get(place):
            latest[tops[place]] = place
        if alike := ends.get(place):
            for top, p in latest.items():
                pair = (top + alike, p - place, p, place)
                best = pair if best is None else max(best, pair)
    return best
