"""An edit that only takes a text away: it is placed by what is gone, and undone if that is back.

It has no lines that could be followed. What is kept is the seam: the lines next to the place, and
what is left of a line of which a part went. The invariant: both that the text went and that it is
back is seen at the seam, word for word; a place whose neighbours changed says nothing.

Not covered: one of two equal places with equal neighbours, a text that is back changed, one that
was moved away with its neighbours, a file that was emptied.
"""

from __future__ import annotations

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
    for seam in _seams(suggestion, before):
        was, now = _with_it(seam), _without_it(seam)
        went = _count(was, saved.text) == 0 < _count(was, before)
        if went and _count(now, saved.text) > _count(now, before):
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
    suggestion, frame = tracked.suggestion, frame_of(tracked)
    if facts.hidden or facts.committed is None:
        return suggestion
    after = in_text(suggestion, facts.committed, now)
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


def _seams(suggestion: Suggestion, before: str) -> Iterator[Suggestion]:
    """The suggestion at each place where its text stood, with what stands around."""
    text, old = _plain(before), _plain(suggestion.old or "").strip("\n")
    at = text.find(old)
    while at >= 0:
        end = at + len(old)
        first = text.rfind("\n", 0, at) + 1
        last = text.find("\n", end) if "\n" in text[end:] else len(text)
        lead, trail = text[first:at], text[end:last]
        if not (lead + trail).strip():
            lead = trail = ""
        above, below = _solid(text[:first]), _solid(text[last:])
        yield replace(
            suggestion,
            lead=lead,
            trail=trail,
            before=tuple(above[-AROUND:]),
            after=tuple(below[:AROUND]),
        )
        at = text.find(old, at + 1)


def _is_back(seam: Suggestion, text: str) -> bool | None:
    """Whether the text that went stands in its place again; None if that cannot be told.

    If the seam stands in a text both ways, that is in two places: more of the lines around it tell
    which of them is its own.
    """
    for around in range(1, AROUND + 1):
        there = _count(_with_it(seam, around), text) > 0
        if there != (_count(_without_it(seam, around), text) > 0):
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


def _count(run: Sequence[str], text: str) -> int:
    """How often a run of lines stands in a text, blank lines aside."""
    lines = [_HEAD, *_solid(_plain(text)), _FOOT]
    wanted = [line.strip() for line in run]
    here = [line.strip(" \t") for line in lines]
    return sum(here[n : n + len(wanted)] == wanted for n in range(len(here) - len(wanted) + 1))


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _solid(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]
