"""Whether a file was saved with a completion's own place in it, and without the completion.

A completion is asked for at one place, between lines that the prompt has. Where those stand in a
file, what is between them is what the person wrote there. The invariant: it counts as left out only
if that place is found for certain (once, by enough code) and what stands there has not even half of
the words that were suggested and is not even half like it. Everything else says nothing.

Not covered: a place whose neighbours were changed too, and one at which more was written than the
prompt shows (it has no lines behind the gap).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from qi_learn.code_text import similarity
from qi_learn.lexer import code_tokens
from qi_learn.records import Tracked
from qi_learn.track.match import Saved
from qi_learn.track.suggestions import place_of

NEIGHBOURS = 3
"""Lines with text on each side by which the place is known."""
MORE = (6, 12, 24)
"""As many if fewer stand in several places."""
TAKEN = 0.5
"""The share of a completion's words that is enough of it not to call it left out."""


def left_out(tracked: Tracked, text: Saved, *, min_tokens: int) -> bool:
    """Whether the file has the completion's own place, and something else or nothing there.

    `min_tokens`: how much code, or words of comments, its neighbours are at least.
    """
    gap = place_of(tracked)
    if gap is None or not gap.certain:
        return False
    before = _solid(gap.prefix.split("\n")[:-1])
    after = _solid(gap.suffix.split("\n")[1:])
    known = (*before[-NEIGHBOURS:], *after[:NEIGHBOURS])
    if not after or sum(map(_size, known)) < min_tokens:
        return False
    between = _between(before, after, text)
    if between is None:
        return False
    there = "\n".join(text.lines[between[0] : between[1]])
    own = gap.prefix.rsplit("\n", 1)[-1], gap.suffix.split("\n", 1)[0]
    return _has_not(there, tracked.suggestion.text, own)


def _has_not(there: str, suggested: str, own: tuple[str, str]) -> bool:
    """Whether what stands at the place is not what was suggested.

    `own`: what the person's own line had before and behind the completion. Signs are common to most
    code, so words are counted apart; renamed it is still alike.
    """
    wanted, found = _words(suggested), _words(there)
    for side in own:
        found -= _words(side)
    if not wanted or (wanted & found).total() >= TAKEN * wanted.total():
        return False
    return similarity(there, suggested) < TAKEN


def _size(line: str) -> int:
    """How much a line says: its tokens, and the words of a comment."""
    return len(code_tokens(line)) or len(line.split())


def _words(code: str) -> Counter[str]:
    tokens = code_tokens(code)
    return Counter([t for t in tokens if any(map(str.isalnum, t))] or tokens)


def _solid(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _between(before: Sequence[str], after: Sequence[str], text: Saved) -> tuple[int, int] | None:
    """The lines (start, end) between the neighbours; None if it is not certain where those are.

    One side is there once, if need be by more of its lines, and the other next to it. Without lines
    before it the place is at the head of the file.
    """
    heads = _once(lambda n: before[-n:], text) if before else [(0, 0)]
    tails = _once(lambda n: after[:n], text)
    if len(heads) == 1:
        found = (heads[0][1], next((start for start, _ in tails if start >= heads[0][1]), -1))
    elif len(tails) == 1:
        ends = [end for _, end in heads if end <= tails[0][0]]
        found = (ends[-1] if ends else -1, tails[0][0])
    else:
        return None
    return None if -1 in found else found


def _once(side: Callable[[int], Sequence[str]], text: Saved) -> list[tuple[int, int]]:
    """Where the neighbours on a side stand: as few of them as are there only once."""
    runs = _runs(side(NEIGHBOURS), text)
    for count in MORE:
        if len(runs) < 2:
            break
        runs = _runs(side(count), text) or runs
    return runs


def _runs(run: Sequence[str], text: Saved) -> list[tuple[int, int]]:
    """Where a run of lines stands in a text, blank lines aside."""
    solid, wanted = text.solid, tuple(run)
    return [
        (solid[s][0], solid[s + len(wanted) - 1][0] + 1)
        for s in text.solid_at.get(wanted[0], ())
        if text.solid_lines[s : s + len(wanted)] == wanted
    ]
