"""What a move of HEAD means for the suggestions in its files.

They are settled by a commit, taken back by a revert or a reset, blamed by a repair (`repairs`).

A commit that does not have the code while the working tree still does (only a part was staged) says
nothing. Neither does another branch.

Suggestions come in with what following them needs, and go out as what changed. What git and the
working tree have of their files is read first (`commit_facts`). Deciding reads nothing, and nothing
is written here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.code_text import similarity
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.outside.git_history import commits_between
from qi_learn.records import Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.commit_facts import Facts, read_facts
from qi_learn.track.match import NotCompared, Saved, find
from qi_learn.track.region import Region, text_of
from qi_learn.track.removals import in_commit, in_reset, is_removal
from qi_learn.track.renames import follow_rename
from qi_learn.track.repairs import repair_in, still_repaired
from qi_learn.track.second_copy import CommittedFiles
from qi_learn.track.state import (
    brought_by,
    gone,
    is_followed,
    is_its_lines,
    name_of,
    settled,
    stands_at,
    trace_of,
    turn_changes,
)
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import left_out
from qi_learn.workspace.changes import Committed, FileSaved

logger = logging.getLogger(__name__)


def on_committed(
    tracked: Sequence[Tracked],
    committed: Committed,
    settings: CaptureSettings,
    now: float,
    guard: StepGuard,
    texts: CleanTexts,
) -> tuple[TurnChange, ...]:
    """What a move of HEAD changed; nothing if its commit was cleaned away before it was read.

    A suggestion that cannot be understood stays as it was.
    """
    if committed.action in ("checkout", "clone"):
        return ()
    reset = committed.action == "reset"
    followed = [t for t in tracked if is_followed(t, committed.project, now)]
    hidden = left_out(committed.project, {t.suggestion.file or "" for t in followed})
    seen = [t for t in followed if (t.suggestion.file or "") not in hidden]
    concerned = [t for t in seen if _is_concerned(t.suggestion, committed)]
    try:
        facts = read_facts(concerned, committed, texts)
        message = "" if reset or not concerned else _messages(committed)
    except NotFound as error:
        logger.info(
            "the move of HEAD to %s in %s is left out: %s",
            committed.commit,
            committed.project,
            error.what,
        )
        return ()
    move = _Move(committed, message, settings, now)
    change = _after_reset if reset else _after_commit
    others, after = CommittedFiles(committed, settings, texts), list[Suggestion]()
    for one, known in zip(concerned, facts, strict=True):
        with guard.step("suggestion", name_of(one)):
            done = change(one, known, move)
            if not reset and _only_went(one.suggestion, done, settings.accepted_similarity):
                copy = others.copy_of(one)
                done = done if copy is None else _has(one, copy, known, move)
            changed = still_repaired(done, committed, message)
            repair = None if reset else repair_in(one.suggestion, committed, texts.of_file)
            after.append(replace(changed, repaired_by=repair or changed.repaired_by))
    after += _without_their_repair(seen, after, committed)
    return turn_changes(tracked, after, settings)


def _only_went(before: Suggestion, after: Suggestion, least: float) -> bool:
    """Whether the code is not where it was, and nobody said that it was taken back."""
    there = before.region is not None and (before.similarity or 0.0) >= least
    went = after.region is None or (after.similarity or 0.0) < least
    return there and went and not after.reverted


def _without_their_repair(
    seen: Sequence[Tracked], after: Sequence[Suggestion], committed: Committed
) -> list[Suggestion]:
    """Those of the others of which the repair is no part of the branch any more."""
    done = {(each.turn_id, each.ordinal) for each in after}
    others = [s for t in seen if (s := t.suggestion).repaired_by is not None]
    return [
        still_repaired(each, committed, "")
        for each in others
        if (each.turn_id, each.ordinal) not in done
        and committed.name_of(each.file or "") is not None
    ]


def _is_concerned(suggestion: Suggestion, committed: Committed) -> bool:
    """Whether a move of HEAD may say something of a suggestion: of the tree it stands in."""
    name = committed.name_of(suggestion.file or "")
    whole = committed.action == "reset" or _is_amended(suggestion, committed)
    return name is not None and (whole or committed.changed(name))


def _is_amended(suggestion: Suggestion, committed: Committed) -> bool:
    """Whether the commit that brought the code was just replaced by another one."""
    return committed.action == "amend" and suggestion.commit == committed.previous


def _messages(committed: Committed) -> str:
    """The messages of all commits to which HEAD moved: a pull or a merge brings many."""
    if not committed.previous or committed.action in ("commit", "amend", "revert", "cherry-pick"):
        return git.message(committed.tree, committed.commit)
    try:
        told = commits_between(committed.tree, committed.previous, committed.commit)
    except NotFound:  # the commit before was cleaned away
        told = commits_between(committed.tree, "", committed.commit)
    return "\n".join(commit.message for commit in told)


# --- deciding -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Move:
    """A move of HEAD, with the messages of the commits to which it went."""

    committed: Committed
    message: str
    settings: CaptureSettings
    now: float


def _after_commit(tracked: Tracked, facts: Facts, move: _Move) -> Suggestion:
    suggestion, committed = tracked.suggestion, move.committed
    if facts.hidden:
        return suggestion
    if is_removal(suggestion):
        taken_back = _taken_back(suggestion, move.message)
        return in_commit(tracked, facts, committed, move.now, taken_back=taken_back)
    if facts.renamed is not None and not suggestion.reverted:
        moved = follow_rename(tracked, facts.renamed, move.settings)
        if moved is not None:
            return _has(tracked, moved, facts, move)
    seen, region = _in_commit(suggestion, facts, committed)
    own = region is not None and text_of(seen.text.split("\n"), region) == suggestion.region
    if not own and (facts.other_branch or _left_out(suggestion, facts, seen, region)):
        return suggestion
    frame, taken_back = frame_of(tracked), _taken_back(suggestion, move.message)
    after = None if region is None else stands_at(suggestion, seen, region, frame)
    if after is not None and not (taken_back and _went(suggestion, after)):
        return _has(tracked, after, facts, move)
    if suggestion.region is None and suggestion.state == "settled":
        again = _brought_back(tracked, seen, facts, move)
        return suggestion if again is None else _has(tracked, again, facts, move)
    after = settled(gone(suggestion, move.now), frame, move.now, commit=suggestion.commit)
    return replace(after, reverted=committed.action == "revert" or taken_back)


def _brought_back(
    tracked: Tracked, seen: FileSaved, facts: Facts, move: _Move
) -> Suggestion | None:
    """The suggestion where a commit brought it back, as the revert of a revert does.

    What was replaced by another suggestion is there again if git took that one back, and it stands
    word for word as it was committed.
    """
    replaced = tracked.suggestion.sign == "superseded"
    undone = move.committed.action in ("reset", "revert") and tracked.suggestion.commit is not None
    if not seen.text or (replaced and not undone):
        return None
    match = None
    with suppress(NotCompared):
        match = find(
            frame_of(tracked).whole_lines(tracked.suggestion.text),
            facts.previous or "",
            Saved(seen.text),
            min_tokens=move.settings.min_tokens,
            min_similarity=move.settings.placed_similarity,
        )
    if match is None or (replaced and match.method != "lines"):
        return None
    exact = is_its_lines(tracked)
    region = regions.region_at(seen.text, seen.place, match.start, match.end, exact=exact)
    return stands_at(tracked.suggestion, seen, region, frame_of(tracked))


def _has(tracked: Tracked, after: Suggestion, facts: Facts, move: _Move) -> Suggestion:
    """The suggestion settled as it stands in the commit; its own is the first that had it so."""
    suggestion, frame = tracked.suggestion, frame_of(tracked)
    replaced = facts.other_branch or _is_amended(suggestion, move.committed)
    known = None if replaced else suggestion.commit
    commit = brought_by(after, frame, known) or move.committed.commit
    return settled(after, frame, move.now, commit=commit)


def _left_out(suggestion: Suggestion, facts: Facts, seen: FileSaved, region: Region | None) -> bool:
    """Whether the working tree has the code and the commit only what was there before it.

    Then a part of the file was staged.
    """
    if not _still_there(suggestion, facts):
        return False
    try:
        added = Saved(seen.text).added_since(facts.previous or "")[0]
    except NotCompared:
        return True  # what the commit added is unknown: it says nothing
    return region is None or not any(i in added for i in range(region.start, region.end))


def _after_reset(tracked: Tracked, facts: Facts, move: _Move) -> Suggestion:
    """The suggestion after a commit was taken out of the branch, or changes were thrown away.

    What the branch or the working tree still has, lives.
    """
    suggestion, committed = tracked.suggestion, move.committed
    if is_removal(suggestion):
        return in_reset(tracked, facts, move.now)
    if suggestion.commit is None:
        thrown_away = (
            committed.changed(committed.name_of(suggestion.file or "") or "")
            and suggestion.region is not None
            and not _still_there(suggestion, facts)
        )
        return gone(suggestion, move.now) if thrown_away else suggestion
    if not facts.other_branch and suggestion.sign != "superseded":
        return suggestion
    seen, region = _in_commit(suggestion, facts, committed)
    if not facts.other_branch:
        again = _brought_back(tracked, seen, facts, move)
        return suggestion if again is None else _has(tracked, again, facts, move)
    frame = frame_of(tracked)
    after = None if region is None else stands_at(suggestion, seen, region, frame)
    enough = move.settings.placed_similarity
    if (
        after is not None
        and similarity(after.region or "", suggestion.region or "") >= enough
        and _stands_changed(facts, seen, region)
    ):
        return settled(after, frame, move.now, commit=committed.commit)
    if _still_there(suggestion, facts) and facts.working != facts.committed:
        return replace(suggestion, state="placed", commit=None, touched_at=move.now)
    after = settled(gone(suggestion, move.now), frame, move.now, commit=suggestion.commit)
    return replace(after, reverted=True)


def _stands_changed(facts: Facts, seen: FileSaved, region: Region | None) -> bool:
    """Whether anything of what a region was changed into since its turn is in a branch.

    A whole file, or a small edit, is much like what was there before it. If that is unknown,
    something is.
    """
    if facts.earlier is None or region is None:
        return True
    try:
        changes = Saved(seen.text).changes_since(facts.earlier)
    except NotCompared:
        return True
    return changes.removed or not changes.added.isdisjoint(range(region.start, region.end))


def _in_commit(
    suggestion: Suggestion, facts: Facts, committed: Committed
) -> tuple[FileSaved, Region | None]:
    """The file as the commit has it, and the suggestion's region in it."""
    file, text = suggestion.file or "", facts.committed
    path = Path(os.path.normpath(Path(committed.project) / file))
    seen = FileSaved(committed.project, path, text or "", committed.ts, committed.top)
    if text is None or suggestion.region is None:
        return seen, None
    # if the commit has another text, it was staged in part, or edited since
    working = None if suggestion.region in text else facts.working
    return seen, regions.find_again(trace_of(suggestion), text, file, old=working)


def _still_there(suggestion: Suggestion, facts: Facts) -> bool:
    """Whether the working tree has the code, whatever was committed."""
    return suggestion.region is not None and suggestion.region in (facts.working or "")


def _went(before: Suggestion, after: Suggestion) -> bool:
    """Whether the code that a reverted commit brought gave way to what stands in its place.

    It did not if it is the same as before, or nearer to what was suggested: then only a later edit
    of it was taken back.
    """
    return after.region != before.region and (after.similarity or 0.0) < (before.similarity or 0.0)


def _taken_back(suggestion: Suggestion, message: str) -> bool:
    """Whether a commit's message says that it reverts the commit that brought the code."""
    return suggestion.commit is not None and any(
        suggestion.commit.startswith(commit) for commit in git.reverted_by(message)
    )
