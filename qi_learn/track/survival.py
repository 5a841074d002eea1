"""Was the suggested code kept, edited, rejected?

Every suggestion from `waiting` over `placed` to `settled` (contracts 5).

The invariant: once a suggestion is placed, the text of its region, whatever it becomes, is its
final version; and nothing is called rejected that could not have been seen (too short to be
recognised, or no file of its project was saved). What became of a turn (`records.Feedback`) is
always derived anew from its suggestions, so that a later edit or commit corrects an earlier answer.

Suggestions come in with what following them needs, and go out as what changed: this reads git, and
writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qi_learn.code_text import code_tokens
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.looking_again import look_again, look_due
from qi_learn.track.match import Match, NotCompared, find, share_of
from qi_learn.track.save import Save
from qi_learn.track.sketch import remembered
from qi_learn.track.state import (
    FOLLOWED,
    each_guarded,
    gone,
    is_followed,
    name_of,
    settled,
    stands_at,
    trace_of,
    turn_changes,
)
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import tree_of
from qi_learn.track.waiting import CLOSELY
from qi_learn.workspace.changes import FileSaved

NOT_FOR_FILES = {
    *("console", "text", "txt", "plaintext", "output", "log", "diff", "patch", "shell-session"),
    *("shellsession", "bash", "sh", "shell", "zsh", "powershell"),
}
"""Blocks in these languages are often to be read or typed: not to find one in a file says nothing.
"""


@dataclass(frozen=True, slots=True)
class _Placement:
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


def on_saved(tracked: Sequence[Tracked], save: Save, now: float) -> tuple[TurnChange, ...]:
    """What a save changed for the suggestions.

    Of what is placed, what became of it, and of what waits, what stands in the file now. Nothing of
    the file is looked at if no suggestion may stand in it.
    """
    told, settings, guard = save.told, save.settings, save.guard
    followed = [t for t in tracked if is_followed(t, told.project, now)]
    waiting = [t for t in tracked if not told.taken_back and _may_be_placed(t, told, settings)]
    if not followed and not waiting:
        return ()
    after = list(each_guarded(followed, lambda t: _after_save(t, save), guard, name_of))
    after += _placements(waiting, save)
    return turn_changes(tracked, after, settings, project=told.project)


def settle(
    tracked: Sequence[Tracked],
    settings: CaptureSettings,
    now: float,
    guard: StepGuard,
    texts: CleanTexts,
) -> tuple[TurnChange, ...]:
    """What time changed for the suggestions.

    What stood untouched for `settings.settle` seconds is settled, what was passed by is rejected,
    and what was committed is looked at again. One that cannot be understood is put off, so that it
    is due again only after as long a time.
    """
    after: list[Suggestion] = []
    for each in tracked:
        suggestion = _put_off(each.suggestion, now)
        with guard.step("suggestion", name_of(each)):
            suggestion = _after_time(each, settings, now, texts)
        after.append(suggestion)
    return turn_changes(tracked, after, settings)


def _put_off(suggestion: Suggestion, now: float) -> Suggestion:
    """The suggestion as one that was just seen; one that waits is not waited for any longer."""
    if suggestion.state == "placed":
        return replace(suggestion, touched_at=now)
    if suggestion.state == "waiting":
        return replace(suggestion, state="unknown")
    return replace(suggestion, looked_at=now)


def _after_time(
    tracked: Tracked, settings: CaptureSettings, now: float, texts: CleanTexts
) -> Suggestion:
    suggestion, ended = tracked.suggestion, tracked.turn.ended
    if suggestion.state == "placed":
        if now - (suggestion.touched_at or 0.0) >= settings.settle:
            return settled(suggestion, frame_of(tracked), now, commit=None)
    elif suggestion.state == "waiting":
        over = now - FOLLOWED <= ended <= now - settings.window
        if over and suggestion.touched_at is not None and _recognisable(suggestion, settings):
            return replace(suggestion, state="settled", settled_at=now)
        if ended <= now - settings.window:
            return replace(suggestion, state="unknown")
    elif look_due(suggestion, now):
        followed = (suggestion.placed_at or 0.0) >= now - FOLLOWED
        again = look_again(tracked, now, texts) if followed else suggestion
        return replace(again, looked_at=now)
    return suggestion


def _recognisable(suggestion: Suggestion, settings: CaptureSettings) -> bool:
    """Whether the suggestion would have been recognised in a file.

    Only then not to find it means that it was not used.
    """
    return (
        suggestion.language not in NOT_FOR_FILES
        and len(code_tokens(suggestion.text)) >= settings.min_tokens
    )


# --- placing --------------------------------------------------------------------------------------


def _may_be_placed(tracked: Tracked, saved: FileSaved, settings: CaptureSettings) -> bool:
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


def _placements(waiting: Sequence[Tracked], save: Save) -> Iterator[Suggestion]:
    """The suggestions that stand in the file now.

    Also those that the save passed by for the first time. A file that could not be compared passes
    nothing by. The `CLOSELY` of which most is in the new lines are compared, and none any more
    where a suggestion stands word for word in all that is new: the others go on waiting.
    """
    chances: list[_Chance] = []
    for tracked in waiting:
        with save.guard.step("suggestion", name_of(tracked)), suppress(NotCompared):
            chance = _chance(tracked, save)
            if chance is not None:
                chances.append(chance)
            elif _passed_by(tracked, save):
                yield replace(tracked.suggestion, touched_at=save.saved.ts)
    chances.sort(key=lambda c: (c.share, c.tracked.turn.ended), reverse=True)
    candidates: list[_Placement] = []
    for chance in chances[:CLOSELY]:
        with save.guard.step("suggestion", name_of(chance.tracked)):
            if _is_filled(save, chance.before, candidates):
                continue
            match = _match(chance.lines, chance.before, save)
            if match is not None:
                candidates.append(_Placement(chance.tracked, match))
            elif _passed_by(chance.tracked, save):
                yield replace(chance.tracked.suggestion, touched_at=save.saved.ts)
    yield from each_guarded(
        _best(candidates), lambda c: _placed(c, save), save.guard, lambda c: name_of(c.tracked)
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


def _is_filled(save: Save, before: str, candidates: Sequence[_Placement]) -> bool:
    """Whether all code that is new in the file is in lines that are a suggestion word for word."""
    exact = [c.match for c in candidates if c.match.method == "lines"]
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


def _match(suggested: str, before: str | None, save: Save) -> Match | None:
    if before is None:
        return None
    return find(
        suggested,
        before,
        save.text,
        min_tokens=save.settings.min_tokens,
        min_similarity=save.settings.placed_similarity,
    )


def _best(candidates: Iterable[_Placement]) -> list[_Placement]:
    """Of several suggestions for the same lines the one most like them, of equals the newest.

    The others were not what was taken.
    """
    taken: list[_Placement] = []
    for one in sorted(
        candidates,
        key=lambda c: (-c.match.similarity, -c.tracked.turn.ended, c.tracked.suggestion.ordinal),
    ):
        if all(
            one.match.end <= other.match.start or one.match.start >= other.match.end
            for other in taken
        ):
            taken.append(one)
    return taken


def _placed(placement: _Placement, save: Save) -> Suggestion:
    tracked, match, saved = placement.tracked, placement.match, save.saved
    region = regions.region_at(saved.text, saved.place, match.start, match.end)
    suggestion = replace(
        tracked.suggestion,
        state="placed",
        placed_at=tracked.suggestion.placed_at or saved.ts,
        match_method=match.method,
        match_confidence=match.similarity,
    )
    return stands_at(suggestion, saved, region, frame_of(tracked))


# --- following ------------------------------------------------------------------------------------


def _after_save(tracked: Tracked, save: Save) -> Suggestion:
    if tracked.suggestion.region is None:
        return _come_again(tracked, save)
    if tracked.suggestion.file == save.saved.place:
        return _follow(tracked, save)
    return tracked.suggestion


def _follow(tracked: Tracked, save: Save) -> Suggestion:
    suggestion, saved, old = tracked.suggestion, save.saved, save.old
    started, history = tracked.turn.started, save.history
    before = save.clean(history.before(started)) if history.reaches(started) else None
    added = None
    if before is not None:
        with suppress(NotCompared):
            added = save.text.added_since(before)[0]
    trace = trace_of(suggestion)
    region = regions.find_again(trace, saved.text, saved.place, old=old, added=added)
    lost = old is not None and (suggestion.region or "") not in old
    if (region is None or lost) and _elsewhere_in_git(suggestion, saved):
        return suggestion
    if region is None:
        return gone(suggestion, saved.ts)
    after = stands_at(suggestion, saved, region, frame_of(tracked))
    if after.region == suggestion.region:  # it only moved, or what stands around it changed
        return replace(after, state=suggestion.state, reverted=suggestion.reverted)
    return after


def _elsewhere_in_git(suggestion: Suggestion, saved: FileSaved) -> bool:
    """Whether the code was committed on another branch than the one that is checked out.

    Then it is not gone, only not here.
    """
    directory, _ = tree_of(saved.project, saved.place)
    try:
        head = git.head(directory)
        return (
            head is not None
            and suggestion.commit is not None
            and not git.contains(directory, head, suggestion.commit)
        )
    except NotFound:  # that commit was cleaned away: nothing keeps the code
        return False


def _come_again(tracked: Tracked, save: Save) -> Suggestion:
    """The suggestion if it came again: undo, a stash brought back, a renamed file, moved code."""
    suggestion, window = tracked.suggestion, save.settings.window
    if suggestion.reverted or save.saved.ts - (suggestion.touched_at or 0.0) > window:
        return suggestion
    lines = suggestion.final_text or frame_of(tracked).whole_lines(suggestion.text)
    try:
        match = _match(lines, save.old, save)
    except NotCompared:
        match = None
    if match is None:
        return suggestion
    similarity = suggestion.match_confidence or match.similarity
    return _placed(_Placement(tracked, replace(match, similarity=similarity)), save)
