"""Which of the suggestions that wait stand in a saved file now.

The invariant: one is placed where what is new in the file is most like it, and what was put there
once is credited once: of several suggestions for the same lines to the one most like them, and not
again while that one stands there, but to an answer that repeats it and brings more. The others are
superseded. A file that could not be compared says
nothing of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qi_learn.records import Suggestion, Tracked
from qi_learn.track import region as regions
from qi_learn.track.exact import METHOD, elsewhere, exactly_placed
from qi_learn.track.match import Match, NotCompared, find, share_of
from qi_learn.track.own_place import left_out
from qi_learn.track.region import Region
from qi_learn.track.removals import is_removal, taken_out
from qi_learn.track.save import Save
from qi_learn.track.sketch import remembered
from qi_learn.track.state import (
    each_guarded,
    is_its_lines,
    name_of,
    stands_at,
    superseded,
)
from qi_learn.track.suggestions import frame_of
from qi_learn.track.waiting import CLOSELY


@dataclass(frozen=True, slots=True)
class PlacedMatch:
    """A suggestion, and the lines of a file that may be it."""

    tracked: Tracked
    match: Match


@dataclass(frozen=True, slots=True)
class Taken:
    """A suggestion that was placed before, as it is now, and the lines that are its region."""

    suggestion: Suggestion
    region: Region


@dataclass(frozen=True, slots=True)
class _Chance:
    """A suggestion that may stand in a file: its lines, and the file's text before it was made."""

    tracked: Tracked
    lines: str
    before: str
    share: float
    """How much of it is in new lines; above 1 if it stands there word for word."""


def may_be_placed(tracked: Tracked, save: Save) -> bool:
    """Whether the suggestion waits, of an answer from before the save and within the window.

    A save within the window may be told behind it: then the wait has ended (unknown), and goes on.
    One that another was put in the place of may come again.
    """
    suggestion, turn = tracked.suggestion, tracked.turn
    return (
        (suggestion.state in ("waiting", "unknown") or suggestion.sign == "superseded")
        and turn.status == 200
        and turn.started <= save.told.ts
        and turn.ended >= save.since
    )


def placements(
    waiting: Sequence[Tracked], save: Save, taken: Sequence[Taken] = ()
) -> Iterator[Suggestion]:
    """The suggestions that stand in the file now, and those whose place another one has.

    Also completions whose own place was saved without them. `taken`: what stands in the file of
    those that were placed before. The `CLOSELY` of which most is in the new lines are compared, and
    none any more where a suggestion stands word for word in all that is new: of the others those
    that would stand there too are superseded, and the rest goes on waiting.
    """
    chances: list[_Chance] = []
    candidates: list[PlacedMatch] = []
    missed: list[Tracked] = []
    put: dict[tuple[str, str], set[int]] = {}  # by answer and text: the first lines of its places
    removals: list[Suggestion | None] = []
    for tracked in waiting:
        with save.guard.step("suggestion", name_of(tracked)), suppress(NotCompared):
            if is_removal(tracked.suggestion):
                removals.append(taken_out(tracked, save))
                continue
            same = put.setdefault((tracked.turn.id, tracked.suggestion.text), set())
            if (exact := exactly_placed(tracked, save, same)) is not None:
                candidates.append(PlacedMatch(*exact))
                same.add(exact[1].start)
                continue
            if elsewhere(tracked, save.told):
                continue
            chance = _chance(tracked, save)
            if chance is None:
                missed.append(tracked)
            else:
                chances.append(chance)
    chances.sort(key=lambda c: (c.share, c.tracked.turn.ended), reverse=True)
    del chances[CLOSELY:]
    chances.sort(key=lambda c: (c.share, _is_own(c.tracked, save)), reverse=True)
    beaten: list[Suggestion] = []
    for chance in chances:
        with save.guard.step("suggestion", name_of(chance.tracked)):
            if _is_filled(save, chance.before, candidates):
                if chance.share >= save.settings.placed_similarity:
                    beaten.append(chance.tracked.suggestion)
                continue
            match = match_in(chance.lines, chance.before, save)
            found = None if match is None else PlacedMatch(chance.tracked, match)
            if found is None or _is_too_little(found, save):
                missed.append(chance.tracked)
            else:
                candidates.append(found)
    best, others = _best(candidates, save)
    credited, replaced = _not_taken(best, taken, save)
    beaten += [c.tracked.suggestion for c in (*others, *best) if c not in credited]
    yield from (removal for removal in removals if removal is not None)
    put_there = {c.tracked.suggestion.text.strip() for c in credited}
    for each in (*beaten, *replaced):
        yield superseded(each, save.saved.ts, same=each.text.strip() in put_there)
    yield from each_guarded(
        credited, lambda c: placed_there(c, save), save.guard, lambda c: name_of(c.tracked)
    )
    yield from _left_out(missed, save)


def _chance(tracked: Tracked, save: Save) -> _Chance | None:
    """What there is to compare; None if the suggestion does not stand in the file.

    Raises NotCompared.
    """
    before = save.before(tracked.turn.started)
    if before is None:
        return None
    lines = frame_of(tracked).whole_lines(tracked.suggestion.text)
    sketch, least = remembered(lines), save.settings.min_tokens
    share = share_of(sketch, before, save.text, min_tokens=least)
    return None if share == 0 else _Chance(tracked, lines, before, share)


def _is_filled(save: Save, before: str, candidates: Sequence[PlacedMatch]) -> bool:
    """Whether all code that is new in the file is in lines that are a suggestion word for word."""
    exact = [c.match for c in candidates if c.match.method in ("lines", METHOD)]
    if not exact:
        return False
    new = (i for i in save.text.added_since(before)[0] if save.text.tokens[i])
    return all(any(m.start <= i < m.end for m in exact) for i in new)


def _left_out(missed: Sequence[Tracked], save: Save) -> Iterator[Suggestion]:
    """The completions whose own place has something else, of the newest that are not in the file.

    That is undone when one is found after all: it is judged when its window is over.
    """
    newest = sorted(
        (t for t in missed if t.suggestion.sign is None and _was_shown(t)),
        key=lambda t: t.turn.ended,
    )[-CLOSELY:]
    for tracked in newest:
        with save.guard.step("suggestion", name_of(tracked)):
            if left_out(tracked, save.text, min_tokens=save.settings.min_tokens):
                yield replace(tracked.suggestion, sign="left_out")


def _was_shown(tracked: Tracked) -> bool:
    """Whether it is a completion that the person may have seen: not one that was cancelled."""
    return tracked.suggestion.start == 0 and not tracked.turn.cancelled


def _is_own(tracked: Tracked, save: Save) -> bool:
    """Whether a suggestion was asked for in the project of the save, as far as that is known."""
    return tracked.turn.project == save.told.project


def match_in(suggested: str, before: str | None, save: Save) -> Match | None:
    """The lines of the file that are the suggestion, of those that `before` did not have."""
    if before is None:
        return None
    return find(
        suggested,
        before,
        save.text,
        min_tokens=save.settings.min_tokens,
        min_similarity=save.settings.placed_similarity,
    )


def _is_too_little(found: PlacedMatch, save: Save) -> bool:
    """Whether its region would be so much more than it that to be there is no sign of it.

    To stand in a definition that is another one from the first save on is no rejection.
    """
    return (placed_there(found, save).similarity or 0.0) < save.settings.accepted_similarity


def _best(
    candidates: Iterable[PlacedMatch], save: Save
) -> tuple[list[PlacedMatch], list[PlacedMatch]]:
    """Of several suggestions for the same lines the one most like them, and the others.

    Of those as like it is the longest, then one asked for in that project, then the newest.
    """
    best: list[PlacedMatch] = []
    others: list[PlacedMatch] = []
    for one in sorted(
        candidates,
        key=lambda c: (
            *(-c.match.similarity, c.match.start - c.match.end),
            not _is_own(c.tracked, save),
            *(-c.tracked.turn.ended, c.tracked.suggestion.ordinal),
        ),
    ):
        free = not any(_excludes(other, one) for other in best)
        (best if free else others).append(one)
    return best, others


def _not_taken(
    best: Sequence[PlacedMatch], taken: Sequence[Taken], save: Save
) -> tuple[list[PlacedMatch], list[Suggestion]]:
    """Those whose lines are no other's, and the placed ones in whose place they were put."""
    credited: list[PlacedMatch] = []
    replaced: list[Suggestion] = []
    for one in best:
        there = [t for t in taken if _takes_from(one.match, t.region)]
        there = [t for t in there if not _only_repeats(one, t, save)]
        if all(_replaces(one, t.suggestion, save) for t in there):
            credited.append(one)
            replaced += [t.suggestion for t in there]
    return credited, replaced


def _only_repeats(one: PlacedMatch, placed: Taken, save: Save) -> bool:
    """Whether a later answer stands word for word around a placed one, which it left as it was.

    So it is with a whole file that is written once more with something added: both are taken.
    """
    match, region, turn = one.match, placed.region, one.tracked.turn
    around = match.start <= region.start and region.end <= match.end
    later = turn.started > (placed.suggestion.placed_at or 0.0)
    if not (around and later and match.similarity >= save.settings.modified_similarity):
        return False
    new = {i for i in save.added_since(turn.started) or () if match.start <= i < match.end}
    return bool(new) and new.isdisjoint(range(region.start, region.end))


def _replaces(one: PlacedMatch, placed: Suggestion, save: Save) -> bool:
    """Whether a suggestion was put where another one stood: it is nearer to what stands there.

    An edit brings a text nearer to a suggestion like it as well. So it was asked for when the other
    one stood there, or it is there as it is and the other one is not.
    """
    kept, similarity = save.settings.modified_similarity, placed.similarity or 0.0
    later = one.tracked.turn.started > (placed.placed_at or 0.0)
    exact = one.match.similarity >= kept > similarity
    return one.match.similarity > similarity and (later or exact)


def _overlap(match: Match, start: int, end: int) -> bool:
    return match.end > start and match.start < end


def _takes_from(match: Match, region: Region) -> bool:
    """Whether a match is where a placed suggestion stands, and not an edit of a part of it."""
    part = match.method == METHOD and match.end - match.start < region.end - region.start
    return not part and _overlap(match, region.start, region.end)


def _excludes(taken: PlacedMatch, one: PlacedMatch) -> bool:
    """Whether a suggestion cannot stand where another does.

    Of edits that name the file each does, if they are not the same: one in what another wrote, two
    on one line.
    """
    both_exact = one.match.method == taken.match.method == METHOD
    same = one.tracked.suggestion.text == taken.tracked.suggestion.text
    return _overlap(one.match, taken.match.start, taken.match.end) and (same or not both_exact)


def placed_there(placement: PlacedMatch, save: Save) -> Suggestion:
    """The suggestion placed where it was found."""
    tracked, match, saved = placement.tracked, placement.match, save.saved
    suggestion = replace(
        tracked.suggestion,
        state="placed",
        placed_at=tracked.suggestion.placed_at or saved.ts,
        match_method=match.method,
        match_confidence=match.similarity,
    )
    exact = is_its_lines(replace(tracked, suggestion=suggestion))
    region = regions.region_at(saved.text, saved.place, match.start, match.end, exact=exact)
    added = save.added_since(tracked.turn.started)
    return stands_at(suggestion, saved, region, frame_of(tracked), added)
