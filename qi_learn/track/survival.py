"""Was the suggested code kept, edited, rejected?

Every suggestion from `waiting` over `placed` to `settled` (contracts 5).

The invariant: once a suggestion is placed, the text of its region, whatever it becomes, is its
final version; and nothing is called rejected without a sign that it was (fates.py): not to be found
is none. What became of a turn (`records.Feedback`) is always derived anew from its suggestions, so
that a later edit or commit corrects an earlier answer.

Suggestions come in with what following them needs, and go out as what changed: this reads git, and
writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.exact import METHOD, exactly_placed, is_still_away
from qi_learn.track.looking_again import look_again, look_due
from qi_learn.track.match import NotCompared
from qi_learn.track.placing import (
    PlacedMatch,
    Taken,
    match_in,
    may_be_placed,
    placed_there,
    placements,
)
from qi_learn.track.region import Region
from qi_learn.track.removals import in_text, is_removal
from qi_learn.track.save import Save
from qi_learn.track.second_copy import second_copy
from qi_learn.track.state import (
    FOLLOWED,
    gone,
    is_exact,
    is_followed,
    name_of,
    settled,
    stands_at,
    trace_of,
    turn_changes,
)
from qi_learn.track.suggestions import frame_of
from qi_learn.track.taken_by_others import taken_by_others
from qi_learn.track.trees import left_out, tree_of
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.files import read_text


def on_saved(tracked: Sequence[Tracked], save: Save, now: float) -> tuple[TurnChange, ...]:
    """What a save changed for the suggestions.

    Of what is placed, what became of it, and of what waits, what stands in the file now. Nothing of
    the file is looked at if no suggestion may stand in it.
    """
    told, settings, guard = save.told, save.settings, save.guard
    if not told.text and not Path(told.project).is_dir():
        return ()  # the whole project went: that says nothing of what stood in it
    followed = [t for t in tracked if is_followed(t, told.project, now)]
    elsewhere = {
        t.turn.id
        for t in tracked
        if t.suggestion.placed_at is not None and t.turn.project != told.project
    }
    waiting = [
        t
        for t in tracked
        if not told.taken_back and t.turn.id not in elsewhere and may_be_placed(t, save)
    ]
    if not followed and not waiting:
        return ()
    after: list[Suggestion] = []
    taken: list[Taken] = []
    for each in followed:
        with guard.step("suggestion", name_of(each)):
            suggestion, region = _after_save(each, save)
            after.append(suggestion)
            if region is not None:
                taken.append(Taken(suggestion, region))
    placed = list(placements(waiting, save, taken))
    placed += taken_by_others(tracked, after, placed, told.ts)
    return turn_changes(tracked, [*after, *placed], settings, project=told.project)


def settle(
    tracked: Sequence[Tracked],
    settings: CaptureSettings,
    now: float,
    guard: StepGuard,
    texts: CleanTexts,
    *,
    window_end: float,
) -> tuple[TurnChange, ...]:
    """What time changed for the suggestions.

    What stood untouched for `settings.settle` seconds and still stands is settled, what waited
    longer than the window (since `window_end`) is judged by its sign or unknown, and what was
    committed is looked at again. One that cannot be understood is put off, so that it is due again
    only after as long a time.
    """
    after: list[Suggestion] = []
    for each in tracked:
        suggestion = _put_off(each.suggestion, now)
        with guard.step("suggestion", name_of(each)):
            suggestion = _after_time(each, settings, now, texts, window_end)
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
    tracked: Tracked, settings: CaptureSettings, now: float, texts: CleanTexts, window_end: float
) -> Suggestion:
    suggestion = tracked.suggestion
    if suggestion.state == "placed":
        if now - (suggestion.touched_at or 0.0) >= settings.settle:
            if not _stands(tracked, texts):  # git took it away: it may bring it back
                young = (suggestion.placed_at or 0.0) >= now - FOLLOWED
                return _put_off(suggestion, now) if young else replace(suggestion, state="unknown")
            return settled(suggestion, frame_of(tracked), now, commit=None)
    elif suggestion.state == "waiting":
        if tracked.turn.ended <= window_end:
            if suggestion.sign is None:
                return replace(suggestion, state="unknown")
            return replace(suggestion, state="settled", settled_at=now)
    elif look_due(suggestion, now):
        followed = (suggestion.placed_at or 0.0) >= now - FOLLOWED
        again = look_again(tracked, now, texts) if followed else suggestion
        return replace(again, looked_at=now)
    return suggestion


def _stands(tracked: Tracked, texts: CleanTexts) -> bool:
    """Whether the code still stands in its file, as far as that can be told.

    No save tells that it went with a stash, or with a branch that was left.
    """
    suggestion, project = tracked.suggestion, tracked.turn.project
    if project is None or suggestion.file is None or suggestion.region is None:
        return True
    if left_out(project, [suggestion.file]):
        return True
    text = texts.of_file(read_text(Path(project) / suggestion.file), suggestion.file)
    if text is None or suggestion.region in text:
        return True
    return regions.find_again(trace_of(suggestion), text, suggestion.file, old=None) is not None


# --- following ------------------------------------------------------------------------------------


def _after_save(tracked: Tracked, save: Save) -> tuple[Suggestion, Region | None]:
    """A placed suggestion after a save, and its lines if it stands in that file."""
    if is_removal(tracked.suggestion):
        return _removal_after_save(tracked.suggestion, save.saved), None
    if tracked.suggestion.region is None:
        return _come_again(tracked, save)
    if tracked.suggestion.file == save.saved.place:
        return _follow(tracked, save)
    if _is_replaced(tracked.suggestion, save):
        return _come_again(tracked, save)
    return tracked.suggestion, None


def _removal_after_save(suggestion: Suggestion, saved: FileSaved) -> Suggestion:
    if suggestion.file != saved.place:
        return suggestion
    after = in_text(suggestion, saved.text, saved.ts)
    undone = after.region is None and suggestion.region is not None
    return suggestion if undone and _elsewhere_in_git(suggestion, saved) else after


def _is_replaced(suggestion: Suggestion, save: Save) -> bool:
    """Whether what stands in a suggestion's place is something else by now."""
    return (suggestion.similarity or 0.0) < save.settings.accepted_similarity


def _follow(tracked: Tracked, save: Save) -> tuple[Suggestion, Region | None]:
    suggestion, saved, old = tracked.suggestion, save.saved, save.old
    started, history = tracked.turn.started, save.history
    before = save.clean(history.before(started)) if history.reaches(started) else None
    added = None
    if before is not None and not is_still_away(suggestion, before, saved.text):
        with suppress(NotCompared):
            added = save.text.added_since(before)[0]
    trace = trace_of(suggestion)
    region = regions.find_again(trace, saved.text, saved.place, old=old, added=added)
    lost = old is not None and (suggestion.region or "") not in old
    if (region is None or lost) and _elsewhere_in_git(suggestion, saved):
        return suggestion, None
    if region is None:
        copy = second_copy(tracked, save)
        return (gone(suggestion, saved.ts), None) if copy is None else (copy, None)
    after = stands_at(suggestion, saved, region, frame_of(tracked), added)
    went = _is_replaced(after, save) and not _is_replaced(suggestion, save)
    if went and (copy := second_copy(tracked, save)) is not None:
        return copy, None
    if after.region == suggestion.region:  # it only moved, or what stands around it changed
        after = replace(after, state=suggestion.state, reverted=suggestion.reverted)
    return _more_of_it(tracked, save, after, region) or (after, region)


def _more_of_it(
    tracked: Tracked, save: Save, after: Suggestion, region: Region
) -> tuple[Suggestion, Region] | None:
    """The suggestion as it stands in the file if that is more of it than the region that followed.

    It was found while it was still being typed, or taken in pieces.
    """
    similarity, settings = after.similarity or 0.0, save.settings
    late = save.saved.ts - (after.placed_at or 0.0) > settings.window
    if (
        late
        or is_exact(after)
        or similarity >= settings.modified_similarity
        or _is_as_before(after, tracked.suggestion)
    ):
        return None
    lines = frame_of(tracked).whole_lines(tracked.suggestion.text)
    match = None
    with suppress(NotCompared):
        match = match_in(lines, save.before(tracked.turn.started), save)
    if match is None or match.end <= region.start or match.start >= region.end:
        return None
    again = placed_there(PlacedMatch(tracked, match), save)
    return (again, Region(match.start, match.end)) if (again.similarity or 0) > similarity else None


def _is_as_before(after: Suggestion, before: Suggestion) -> bool:
    """Whether neither the region nor a line around it changed."""
    return (after.region, after.before, after.after) == (before.region, before.before, before.after)


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


def _come_again(tracked: Tracked, save: Save) -> tuple[Suggestion, Region | None]:
    """The suggestion if it came again: undo, a stash brought back, a renamed file, moved code."""
    suggestion = tracked.suggestion
    if suggestion.sign == "superseded":  # it is among those that may be placed
        return suggestion, None
    if suggestion.reverted or (suggestion.touched_at or 0.0) < save.since:
        return suggestion, None
    found = _found_again(tracked, save)
    if found is None:
        return suggestion, None
    similarity = suggestion.match_confidence or found.match.similarity
    method = METHOD if is_exact(suggestion) else found.match.method
    match = replace(found.match, similarity=similarity, method=method)
    again = placed_there(replace(found, match=match), save)
    return again, Region(match.start, match.end)


def _found_again(tracked: Tracked, save: Save) -> PlacedMatch | None:
    """Where a suggestion that was gone stands now: an edit as it was carried out, if it does."""
    suggestion = tracked.suggestion
    lines = frame_of(tracked).whole_lines(suggestion.text)
    if suggestion.final_text and not _is_replaced(suggestion, save):
        lines = suggestion.final_text
    with suppress(NotCompared):
        if is_exact(suggestion) and (exact := exactly_placed(tracked, save)) is not None:
            return PlacedMatch(*exact)
        if (match := match_in(lines, save.old, save)) is not None:
            return PlacedMatch(tracked, match)
    return None
