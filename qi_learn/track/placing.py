"""Which of the suggestions that wait stand in a saved file now.

The invariant: one is placed where what is new in the file is most like it, of several for the same
lines the one most like them; and a file that could not be compared says nothing of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qi_learn.records import Suggestion, Tracked
from qi_learn.settings import CaptureSettings
from qi_learn.track import region as regions
from qi_learn.track.exact import METHOD, elsewhere, exactly_placed
from qi_learn.track.match import Match, NotCompared, find, share_of
from qi_learn.track.save import Save
from qi_learn.track.sketch import remembered
from qi_learn.track.state import each_guarded, name_of, stands_at
from qi_learn.track.suggestions import frame_of
from qi_learn.track.waiting import CLOSELY
from qi_learn.workspace.changes import FileSaved


@dataclass(frozen=True, slots=True)
class PlacedMatch:
    """A suggestion, and the lines of a file that may be it."""

    tracked: Tracked
    match: Match


@dataclass(frozen=True, slots=True)
class _Chance:
    """A suggestion that may stand in a file: its lines, and the file's text before it was made."""

    tracked: Tracked
    lines: str
    before: str
    share: float
    """How much of it is in new lines; above 1 if it stands there word for word."""


def may_be_placed(tracked: Tracked, saved: FileSaved, settings: CaptureSettings) -> bool:
    """Whether the suggestion waits, of an answer from before the save and not long ago.

    A save within the window may be told behind it: then the wait has ended (unknown), and goes on.
    """
    turn = tracked.turn
    return (
        tracked.suggestion.state in ("waiting", "unknown")
        and turn.project in (None, saved.project)
        and turn.status == 200
        and turn.started <= saved.ts
        and turn.ended >= saved.ts - settings.window
    )


def placements(waiting: Sequence[Tracked], save: Save) -> Iterator[Suggestion]:
    """The suggestions that stand in the file now.

    Also those that the save passed by for the first time. A file that could not be compared passes
    nothing by. The `CLOSELY` of which most is in the new lines are compared, and none any more
    where a suggestion stands word for word in all that is new: the others go on waiting.
    """
    chances: list[_Chance] = []
    candidates: list[PlacedMatch] = []
    for tracked in waiting:
        with save.guard.step("suggestion", name_of(tracked)), suppress(NotCompared):
            if (exact := exactly_placed(tracked, save)) is not None:
                candidates.append(PlacedMatch(*exact))
                continue
            if elsewhere(tracked, save.told):
                continue
            chance = _chance(tracked, save)
            if chance is not None:
                chances.append(chance)
            elif _passed_by(tracked, save):
                yield replace(tracked.suggestion, touched_at=save.saved.ts)
    chances.sort(key=lambda c: (c.share, c.tracked.turn.ended), reverse=True)
    for chance in chances[:CLOSELY]:
        with save.guard.step("suggestion", name_of(chance.tracked)):
            if _is_filled(save, chance.before, candidates):
                continue
            match = match_in(chance.lines, chance.before, save)
            if match is not None:
                candidates.append(PlacedMatch(chance.tracked, match))
            elif _passed_by(chance.tracked, save):
                yield replace(chance.tracked.suggestion, touched_at=save.saved.ts)
    yield from each_guarded(
        _best(candidates), lambda c: placed_there(c, save), save.guard, lambda c: name_of(c.tracked)
    )


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


def _passed_by(tracked: Tracked, save: Save) -> bool:
    return (
        tracked.suggestion.touched_at is None
        and not save.saved.partly
        and tracked.turn.project is not None
        and bool(save.saved.text)
        and save.history.reaches(tracked.turn.started)
    )


def match_in(suggested: str, before: str | None, save: Save) -> Match | None:
    if before is None:
        return None
    return find(
        suggested,
        before,
        save.text,
        min_tokens=save.settings.min_tokens,
        min_similarity=save.settings.placed_similarity,
    )


def _best(candidates: Iterable[PlacedMatch]) -> list[PlacedMatch]:
    """Of several suggestions for the same lines the one most like them, of equals the newest.

    The others were not what was taken.
    """
    taken: list[PlacedMatch] = []
    for one in sorted(
        candidates,
        key=lambda c: (-c.match.similarity, -c.tracked.turn.ended, c.tracked.suggestion.ordinal),
    ):
        if not any(_excludes(other, one) for other in taken):
            taken.append(one)
    return taken


def _excludes(taken: PlacedMatch, one: PlacedMatch) -> bool:
    """Whether a suggestion cannot stand where another does.

    Of edits that name the file each does, if they are not the same: one in what another wrote, two
    on one line.
    """
    apart = one.match.end <= taken.match.start or one.match.start >= taken.match.end
    both_exact = one.match.method == taken.match.method == METHOD
    same = one.tracked.suggestion.text == taken.tracked.suggestion.text
    return not apart and (same or not both_exact)


def placed_there(placement: PlacedMatch, save: Save) -> Suggestion:
    tracked, match, saved = placement.tracked, placement.match, save.saved
    region = regions.region_at(saved.text, saved.place, match.start, match.end)
    if match.method == METHOD and (region.start, region.end) != (match.start, match.end):
        region = regions.Region(match.start, match.end)  # what was edited, and no more
    suggestion = replace(
        tracked.suggestion,
        state="placed",
        placed_at=tracked.suggestion.placed_at or saved.ts,
        match_method=match.method,
        match_confidence=match.similarity,
    )
    return stands_at(suggestion, saved, region, frame_of(tracked))
