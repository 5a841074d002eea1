"""Which lines of a text stand in another one, whatever a formatter did to them.

A line is the same if it differs in white space, kinds of quotes and a comma or semicolon at its end
alone. Lines that were wrapped, or joined, are the same if their letters follow each other in the
place between two lines that are the same; there brackets and commas do not count either.

The invariant: order is kept, and each line of the other text is used once. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rapidfuzz.distance import Indel

from qi_learn.track.line_changes import MOST_CELLS

Lines = tuple[int, ...]
_SPACE = re.compile(r"\s+")
_WRAPPING = re.compile(r"[\s,;()\\]+")
MOST_PAIRS = 40_000
"""The most pairs of lines of one place that are compared letter by letter."""


def same_lines(before: Sequence[str], after: Sequence[str]) -> dict[int, Lines]:
    """For each line of a text that is not blank and that stands in the other, its lines there.

    Numbers from 0. Nothing if the two are too long to be compared.
    """
    old = [(n, bare) for n, line in enumerate(before) if (bare := _bare(line))]
    new = [(n, bare) for n, line in enumerate(after) if (bare := _bare(line))]
    if len(old) * len(new) > MOST_CELLS:
        return {}
    found: dict[int, Lines] = {}
    for old_gap, new_gap, equal in _blocks([b for _, b in old], [b for _, b in new]):
        if equal:
            pairs = zip(old[old_gap], new[new_gap], strict=True)
            found.update({n: (m,) for (n, _), (m, _) in pairs})
        else:
            found.update(_wrapped(old[old_gap], new[new_gap]))
    return found


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[slice, slice, bool]]:
    """What is the same in both, and what stands between: the slices, and which of the two it is."""
    left = right = 0
    for step in Indel.opcodes(old, new):
        if step.tag != "equal":
            continue
        yield slice(left, step.src_start), slice(right, step.dest_start), False
        yield slice(step.src_start, step.src_end), slice(step.dest_start, step.dest_end), True
        left, right = step.src_end, step.dest_end
    yield slice(left, len(old)), slice(right, len(new)), False


def _wrapped(old: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> dict[int, Lines]:
    """The lines of a place that stand in another with other ends of lines."""
    if not old or not new or len(old) * len(new) > MOST_PAIRS:
        return {}
    left = [(n, letters) for n, bare in old if (letters := _WRAPPING.sub("", bare))]
    right = [(m, letters) for m, bare in new if (letters := _WRAPPING.sub("", bare))]
    found: dict[int, Lines] = {}
    first = at = 0
    while first < len(left):
        group = next(
            (g for k in range(at, len(right)) if (g := _same_letters(left, first, right, k))), None
        )
        if group is None:
            first += 1
            continue
        here, there = group
        lines = tuple(m for m, _ in right[there])
        found.update({n: lines for n, _ in left[here]})
        first, at = here.stop, there.stop
    return _with_brackets(found, [n for n, _ in old], {n for n, _ in left})


def _same_letters(
    left: Sequence[tuple[int, str]], i: int, right: Sequence[tuple[int, str]], k: int
) -> tuple[slice, slice] | None:
    """The fewest lines from `i` on that are, letter by letter, lines from `k` on."""
    a, b, j, m = left[i][1], right[k][1], i + 1, k + 1
    while a != b:
        if len(a) < len(b) and b.startswith(a) and j < len(left):
            a, j = a + left[j][1], j + 1
        elif len(b) < len(a) and a.startswith(b) and m < len(right):
            b, m = b + right[m][1], m + 1
        else:
            return None
    return slice(i, j), slice(k, m)


def _with_brackets(
    found: dict[int, Lines], lines: Sequence[int], lettered: set[int]
) -> dict[int, Lines]:
    """What was found, and lines of brackets alone behind it: they went to its end."""
    last: Lines | None = None
    for n in lines:
        if n in lettered:
            last = found.get(n)
        elif last is not None:
            found[n] = last[-1:]
    return found


def _bare(line: str) -> str:
    """A line without what a formatter changes in it; empty if it is blank."""
    return _SPACE.sub("", line).replace("'", '"').rstrip(",;") or _SPACE.sub("", line)
