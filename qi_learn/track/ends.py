"""The ends of a run of lines: its first line, and the brackets that close at its end.

The invariant: a run that is found for code whose brackets are closed does not lose a closing one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from qi_learn.track.saved_text import Saved

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def with_ends(spelt: Sequence[str], saved: Saved, start: int, end: int) -> tuple[int, int]:
    """The run of lines `start` up to `end` with the first and the last lines that belong to it.

    `spelt`: the lines of the code that it is, in letters.
    """
    start = _with_head(spelt, saved, start, end)
    return start, _with_closing(spelt, saved, start, end)


def _with_head(spelt: Sequence[str], saved: Saved, start: int, end: int) -> int:
    """The start with the line above if it is the code's first line with more put in.

    A line to which much was added costs a run more than it gains.
    """
    first = next((line for line in spelt if line), "")
    above = next((i for i in range(start - 1, -1, -1) if saved.spelt[i]), None)
    if above is None or len(first) < 3:
        return start
    own = _in_common(first, saved.spelt[start]) if start < end else 0.0
    return above if _in_common(first, saved.spelt[above]) >= 0.7 > own else start


def _in_common(wanted: str, line: str) -> float:
    return LCSseq.similarity(wanted, line) / len(wanted)


def _with_closing(spelt: Sequence[str], saved: Saved, start: int, end: int) -> int:
    """The end moved over lines that only close brackets, until as many are closed as in the code."""
    wanted = _depth("".join(spelt), saved)
    depth = _depth(saved.letters_of(start, end), saved)
    while depth > wanted and end < len(saved.lines):
        if saved.spelt[end] and not _only_closes(saved.spelt[end], saved):
            break
        depth += _depth(saved.spelt[end], saved)
        end += 1
    while depth < wanted and end - 1 > start and _only_closes(saved.spelt[end - 1], saved):
        end -= 1
        depth -= _depth(saved.spelt[end], saved)
    return end


def _depth(letters: str, saved: Saved) -> int:
    """How many brackets are open at the end of some code."""
    tokens = [saved.letters.token(letter) for letter in letters]
    return sum(t in _OPENING for t in tokens) - sum(t in _CLOSING for t in tokens)


def _only_closes(letters: str, saved: Saved) -> bool:
    tokens = [saved.letters.token(letter) for letter in letters]
    return bool(tokens) and all(t in _CLOSING or t == "," for t in tokens)
