"""Suggestions that a later suggestion took away: superseded, not undone by the person.

An agent corrects itself: its next edit takes out what the one before put there, or puts back what
it took out. The invariant: the later one was asked for when the earlier one stood there, names the
file, and has the earlier one's text in what it takes out (or the whole file is its own).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qi_learn.records import Suggestion, Tracked
from qi_learn.track.removals import is_removal
from qi_learn.track.state import is_exact, superseded

Key = tuple[str, int]


def taken_by_others(
    tracked: Sequence[Tracked], after: Sequence[Suggestion], placed: Sequence[Suggestion], ts: float
) -> Iterator[Suggestion]:
    """Those that a save no longer has because of a suggestion that was placed by that save.

    `tracked`: all as they were; `after`: those that are followed, as the save left them.
    """
    before = {_key(t.suggestion): t for t in tracked}
    later = [
        (before[_key(s)].turn.started, s)
        for s in placed
        if s.state == "placed" and s.region is not None and is_exact(s) and _key(s) in before
    ]
    for each in after if later else ():
        was = before[_key(each)].suggestion
        if each.region is not None or was.region is None or was.placed_at is None:
            continue
        if any(at > was.placed_at and _took(s, was) for at, s in later if s.file == was.file):
            yield superseded(each, ts)


def _took(later: Suggestion, was: Suggestion) -> bool:
    if is_removal(was):
        return _within(was.old or "", later.text)
    return later.old is None or _within(was.region or "", later.old)


def _within(text: str, whole: str) -> bool:
    """Whether the lines of a text follow each other in another one, white space aside."""
    lines, there = _lines(text), _lines(whole)
    last = len(there) - len(lines) + 1
    return bool(lines) and any(there[n : n + len(lines)] == lines for n in range(last))


def _lines(text: str) -> list[str]:
    return [bare for line in text.split("\n") if (bare := line.strip())]


def _key(suggestion: Suggestion) -> Key:
    return suggestion.turn_id, suggestion.ordinal
