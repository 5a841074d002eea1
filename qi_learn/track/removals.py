"""An edit that only takes a text away: it is placed by what is gone, and undone if that is back.

It has no lines that could be followed. What is kept is the seam: the lines next to the place, and
what is left of a line of which a part went. The invariant: both that the text went and that it is
back is seen at the seam, word for word; a place whose neighbours changed says nothing.

Not covered: one of two equal places with equal neighbours, a place behind a thousand others, a text
that is back changed, one that was moved away with its neighbours, a file that was emptied.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qi_learn.records import Suggestion, Tracked
from qi_learn.track.commit_facts import Facts
from qi_learn.track.exact import AROUND, METHOD, names
from qi_learn.track.save import Save
from qi_learn.track.state import gone, settled
from qi_learn.track.suggestions import frame_of
from qi_learn.workspace.changes import Committed

_HEAD, _FOOT = "\0head", "\0foot"
"""Stand for the two ends of a file: no line is so."""
_MOST_PLACES = 1000
"""The most places of a text that are looked at: each takes some 30 microseconds."""


def is_removal(suggestion: Suggestion) -> bool:
    """Whether a suggestion takes a text away and puts none in its place."""
    return not suggestion.text.strip() and bool(suggestion.old and suggestion.old.strip())


def taken_out(tracked: Tracked, save: Save) -> Suggestion | None:
    """A removal that waits, placed where a save took its text out; None if it did not."""
    suggestion, saved = tracked.suggestion, save.saved
    if suggestion.path is None or not names(suggestion.path, tracked.turn.project, save.told):
        return None
    before = save.before(tracked.turn.started)
    if before is None or not saved.text.strip():
        return None
    first, later = _Lines(before), _Lines(saved.text)
    for seam in _seams(suggestion, first):
        was, now = _with_it(seam), _without_it(seam)
        went = later.count(was) == 0 < first.count(was)
        if went and later.count(now) > first.count(now):
            return replace(
                seam,
                state="placed",
                file=saved.place,
                region="",
                similarity=1.0,
                placed_at=suggestion.placed_at or saved.ts,
                touched_at=saved.ts,
                match_method=METHOD,
                match_confidence=1.0,
                sign=None,
            )
    return None


def in_text(suggestion: Suggestion, text: str, ts: float) -> Suggestion:
    """A placed removal by a text of its file: undone, done again, or as it was."""
    if suggestion.sign == "superseded":  # it is among those that may be placed
        return suggestion
    back = _is_back(suggestion, text)
    if suggestion.region is not None:
        return gone(suggestion, ts) if back else suggestion
    if back is not False:
        return suggestion
    again = replace(suggestion, state="placed", region="", similarity=1.0)
    return replace(again, touched_at=ts, reverted=False)


def in_commit(
    tracked: Tracked, facts: Facts, committed: Committed, now: float, *, taken_back: bool
) -> Suggestion:
    """A placed removal after a commit. `taken_back`: whether that reverts the removal's own."""
    suggestion, frame, text = tracked.suggestion, frame_of(tracked), facts.committed
    if facts.renamed is not None:
        suggestion, text = replace(suggestion, file=facts.renamed.place), facts.renamed.text
    if facts.hidden or text is None:
        return suggestion
    after = in_text(suggestion, text, now)
    if facts.other_branch and after.region is None and suggestion.region is not None:
        return suggestion  # it is not undone, only not here
    if after.region is not None:
        known = None if facts.other_branch else suggestion.commit
        return settled(after, frame, now, commit=known or committed.commit)
    if suggestion.region is not None and in_text(suggestion, facts.working or "", now).region == "":
        return suggestion  # a part of the file was staged
    after = settled(after, frame, now, commit=suggestion.commit)
    return replace(after, reverted=committed.action == "revert" or taken_back)


def in_reset(tracked: Tracked, facts: Facts, now: float) -> Suggestion:
    """A placed removal after a reset, by what the working tree has."""
    suggestion = tracked.suggestion
    if facts.hidden or facts.working is None:
        return suggestion
    after = in_text(suggestion, facts.working, now)
    if after.region is None and suggestion.region is not None and suggestion.commit is not None:
        after = settled(after, frame_of(tracked), now, commit=suggestion.commit)
        return replace(after, reverted=True)
    if after.region is not None and facts.other_branch:
        return replace(after, state="placed", commit=None, touched_at=now)
    return after


# --- the seam -------------------------------------------------------------------------------------


def _seams(suggestion: Suggestion, before: _Lines) -> Iterator[Suggestion]:
    """The suggestion at each of the first places where its text stood, with what is around."""
    text, old = before.text, _plain(suggestion.old or "").strip("\n")
    at = text.find(old)
    for _ in range(_MOST_PLACES):
        if at < 0:
            return
        end = at + len(old)
        first, last = text.rfind("\n", 0, at) + 1, text.find("\n", end)
        last = len(text) if last < 0 else last
        lead, trail = text[first:at], text[end:last]
        if not (lead + trail).strip():
            lead = trail = ""
        above, below = before.around(first, last)
        yield replace(suggestion, lead=lead, trail=trail, before=above, after=below)
        at = text.find(old, at + 1)


def _is_back(seam: Suggestion, text: str) -> bool | None:
    """Whether the text that went stands in its place again; None if that cannot be told.

    If the seam stands in a text both ways, that is in two places: more of the lines around it tell
    which of them is its own.
    """
    lines = _Lines(text)
    for around in range(1, AROUND + 1):
        there = lines.count(_with_it(seam, around)) > 0
        if there != (lines.count(_without_it(seam, around)) > 0):
            return there
        if not there:
            return None
    return None


def _with_it(seam: Suggestion, around: int = 1) -> list[str]:
    """The lines at the place with the text that is to go, and so many lines on each side."""
    return _at(seam, seam.lead + _plain(seam.old or "").strip("\n") + seam.trail, around)


def _without_it(seam: Suggestion, around: int = 1) -> list[str]:
    """The lines at the place without it."""
    return _at(seam, seam.lead + seam.trail, around)


def _at(seam: Suggestion, inside: str, around: int) -> list[str]:
    above, below = seam.before[-around:] or (_HEAD,), seam.after[:around] or (_FOOT,)
    return [*above, *_solid(inside), *below]


class _Lines:
    """The lines of a text, blank ones aside, read once for all runs that are looked for in it."""

    def __init__(self, text: str) -> None:
        self.text = _plain(text)
        self._starts: list[int] = []
        self._solid: list[str] = []
        start = 0
        for line in self.text.split("\n"):
            if line.strip():
                self._starts.append(start)
                self._solid.append(line)
            start += len(line) + 1
        self._bare = [_HEAD, *(line.strip(" \t") for line in self._solid), _FOOT]
        self._places: dict[str, list[int]] = {}
        for n, line in enumerate(self._bare):
            self._places.setdefault(line, []).append(n)
        self._counted: dict[tuple[str, ...], int] = {}

    def around(self, first: int, last: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The lines next to a part of the text (positions), above and below."""
        above, below = bisect_left(self._starts, first), bisect_left(self._starts, last)
        return (
            tuple(self._solid[max(0, above - AROUND) : above]),
            tuple(self._solid[below : below + AROUND]),
        )

    def count(self, run: Sequence[str]) -> int:
        """How often a run of lines stands in the text."""
        wanted = tuple(line.strip() for line in run)
        if wanted not in self._counted:
            self._counted[wanted] = self._count(list(wanted))
        return self._counted[wanted]

    def _count(self, wanted: list[str]) -> int:
        """By the places of the line that stands in the fewest."""
        n = min(range(len(wanted)), key=lambda n: len(self._places.get(wanted[n], ())))
        begins = (place - n for place in self._places.get(wanted[n], ()) if place >= n)
        return sum(self._bare[begin : begin + len(wanted)] == wanted for begin in begins)


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _solid(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]
