"""A suggestion that leaves out code that is there already, found around what it leaves out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from qi_learn.lexer import tokens_by_line
from qi_learn.track.alike import most_alike
from qi_learn.track.ends import depth
from qi_learn.track.saved_text import Saved
from qi_learn.track.sketch import remembered
from qi_learn.track.wanted import Match, telling


def around(pieces: Sequence[str], before: str, saved: Saved, min_similarity: float) -> Match | None:
    """The lines from the first to the last of the pieces.

    One of them brought something new, and together they are alike enough. Raises NotCompared.
    """
    added, old = saved.changes_since(before).added, set(saved.old(before).spelt)
    came = {letters for i in added if (letters := saved.spelt[i])}
    came_as_it_is = {saved.lines[i].strip() for i in added}
    found: list[tuple[Match, int]] = []
    size, fresh = 0, False
    for piece in pieces:
        lines = piece.split("\n")
        spelt = [saved.letters.of(tokens) for tokens in tokens_by_line(lines)]
        letters = "".join(spelt)
        if not letters:  # a comment
            continue
        size += len(letters)
        start, at = (found[0][0].start, found[-1][0].end) if found else (0, 0)
        match = _next(spelt, saved, at, start if piece is pieces[-1] else None)
        if match is None or match.similarity < min_similarity:
            continue
        found.append((match, len(letters)))
        new = telling(spelt, lines, old)
        as_it_is = {line.strip() for line, each in zip(lines, spelt, strict=True) if each in new}
        fresh = fresh or bool(new & came or as_it_is & came_as_it_is)
    similarity = sum(m.similarity * weight for m, weight in found) / size if size else 0.0
    if not fresh or similarity < min_similarity:
        return None
    start = _comment_above(pieces[0], saved, found[0][0].start)
    return Match(start, found[-1][0].end, similarity, "tokens")


def _comment_above(first: str, saved: Saved, start: int) -> int:
    """Where the first piece stands above a line, if that is a comment: what follows is left out."""
    if any(tokens_by_line(first.split("\n"))):
        return start
    runs = [run for run in saved.runs_of(remembered(first).lines) if run[1] <= start]
    return runs[0][0] if len(runs) == 1 else start


def _next(spelt: Sequence[str], saved: Saved, at: int, start: int | None) -> Match | None:
    """The first lines from `at` on that are some code, else those most like it.

    `start`: where the first of all pieces stands, if this is the last of them: no bracket is left
    open from there on.
    """
    own = [letters for letters in spelt if letters]
    coded = saved.coded[bisect_left(saved.coded, at) :]
    lines = [saved.spelt[i] for i in coded]
    for n in range(len(lines) - len(own) + 1):
        if lines[n : n + len(own)] == own:
            end = coded[n + len(own) - 1] + 1
            if start is None or depth(saved.letters_of(start, end), saved) == 0:
                return Match(coded[n], end, 1.0, "tokens")
    runs = most_alike("".join(own), lines)
    best = max(runs, key=lambda run: (run[2], -run[0]), default=None)
    return best and Match(coded[best[0]], coded[best[1] - 1] + 1, best[2], "tokens")
