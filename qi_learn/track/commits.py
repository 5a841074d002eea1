"""What a move of HEAD means for the suggestions in its files: settled by a commit, taken back by a
revert or a reset, blamed by a repair.

A commit that does not have the code while the working tree still does (only a part was staged) says
nothing. Neither does another branch.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

from qi_learn.code_text import code_tokens, similarity
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Suggestion
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback
from qi_learn.store.database import Store
from qi_learn.track import region as regions
from qi_learn.track.match import Saved
from qi_learn.track.region import Region, text_of
from qi_learn.track.state import frame_for, gone, settled, stands_at, tell, trace_of
from qi_learn.workspace.files import read_text
from qi_learn.workspace.watcher import Committed, FileSaved

logger = logging.getLogger(__name__)
FOLLOWED = 8 * 86400.0
"""Seconds after its placement in which a suggestion is followed: the last look at it is after seven
days.
"""
_REPAIR = re.compile(
    r"\b(?:bug|bugs|fix|fixes|fixed|fixing|hotfix|bugfix|regression|broken|crash(?:es)?)\b",
    re.IGNORECASE,
)


def on_committed(store: Store, committed: Committed, settings: CaptureSettings, now: float) -> None:
    """HEAD moved. Raises StoreError where the database cannot be written."""
    if committed.action in ("checkout", "clone"):
        return
    try:
        with store.transaction():
            _move(store, committed, settings, now)
    except (
        NotFound
    ) as error:  # a commit that was cleaned away before we came to it says nothing any more
        logger.info(
            "the move of HEAD to %s in %s is left out: %s",
            committed.commit,
            committed.project,
            error.what,
        )


def _move(store: Store, committed: Committed, settings: CaptureSettings, now: float) -> None:
    followed = feedback.placed_suggestions(store, committed.project, since=now - FOLLOWED)
    if committed.action == "reset":
        for suggestion in followed:
            _after_reset(store, suggestion, committed, settings, now)
        return
    concerned = [s for s in followed if s.file in committed.files]
    said = git.message(Path(committed.project), committed.commit) if concerned else ""
    for suggestion in concerned:
        _after_commit(store, suggestion, committed, said, settings, now)


def _after_commit(
    store: Store,
    suggestion: Suggestion,
    committed: Committed,
    said: str,
    settings: CaptureSettings,
    now: float,
) -> None:
    seen, region = _in_commit(suggestion, committed)
    own = region is not None and text_of(seen.text.split("\n"), region) == suggestion.region
    if not own and (
        _other_branch(suggestion, committed) or _left_out(suggestion, committed, seen, region)
    ):
        return
    frame = frame_for(store, suggestion)
    if region is None or _taken_back(suggestion, said):
        if suggestion.region is not None or suggestion.state != "settled":
            after = settled(gone(suggestion, now), frame, now, commit=suggestion.commit)
            tell(
                store,
                replace(
                    after, reverted=committed.action == "revert" or _taken_back(suggestion, said)
                ),
                settings,
            )
        return
    after = stands_at(suggestion, seen, region, frame)
    if _repaired(suggestion, after, committed, said):
        outcome = feedback.load_outcome(store, suggestion.turn_id)
        feedback.save_outcome(store, suggestion.turn_id, replace(outcome, bug_introduced=True))
    tell(store, settled(after, frame, now, commit=committed.commit), settings)


def _left_out(
    suggestion: Suggestion, committed: Committed, seen: FileSaved, region: Region | None
) -> bool:
    """Whether the working tree has the code and the commit only what was there before it: a part of
    the file was staged.
    """
    if not _still_there(suggestion, committed):
        return False
    before = (
        git.text_at(Path(committed.project), committed.previous, suggestion.file or "")
        if committed.previous
        else None
    )
    added = Saved(seen.text).added_since(before or "")[0]
    return region is None or not any(i in added for i in range(region.start, region.end))


def _after_reset(
    store: Store,
    suggestion: Suggestion,
    committed: Committed,
    settings: CaptureSettings,
    now: float,
) -> None:
    """A commit was taken out of the branch, or changes were thrown away: what the branch or the
    working tree still has, lives.
    """
    if suggestion.commit is None:
        if (
            suggestion.file in committed.files
            and suggestion.region is not None
            and not _still_there(suggestion, committed)
        ):
            tell(store, gone(suggestion, now), settings)
        return
    if not _other_branch(suggestion, committed):
        return
    frame = frame_for(store, suggestion)
    seen, region = _in_commit(suggestion, committed)
    after = None if region is None else stands_at(suggestion, seen, region, frame)
    if (
        after is not None
        and similarity(after.region or "", suggestion.region or "") >= settings.placed_similarity
    ):
        after = settled(after, frame, now, commit=committed.commit)
    elif _still_there(suggestion, committed):
        after = replace(suggestion, state="placed", commit=None, touched_at=now)
    else:
        after = replace(
            settled(gone(suggestion, now), frame, now, commit=suggestion.commit), reverted=True
        )
    tell(store, after, settings)


def _in_commit(suggestion: Suggestion, committed: Committed) -> tuple[FileSaved, Region | None]:
    """The file as the commit has it, and the suggestion's region in it."""
    place, file = Path(committed.project), suggestion.file or ""
    text = git.text_at(place, committed.commit, file)
    seen = FileSaved(committed.project, place / file, text or "", committed.ts)
    if text is None or suggestion.region is None:
        return seen, None
    working = (
        None if suggestion.region in text else read_text(place / file)
    )  # staged in part, or edited since
    return seen, regions.find_again(trace_of(suggestion), text, file, old=working)


def _still_there(suggestion: Suggestion, committed: Committed) -> bool:
    """Whether the working tree has the code, whatever was committed."""
    text = read_text(Path(committed.project) / (suggestion.file or ""))
    return suggestion.region is not None and suggestion.region in (text or "")


def _other_branch(suggestion: Suggestion, committed: Committed) -> bool:
    """Whether the commit that has the code is no part of this branch, and was not just replaced."""
    if suggestion.commit is None or (
        suggestion.commit == committed.previous and committed.action == "amend"
    ):
        return False
    try:
        return not git.contains(Path(committed.project), committed.commit, suggestion.commit)
    except NotFound:  # cleaned away
        return committed.action == "reset"


def _taken_back(suggestion: Suggestion, said: str) -> bool:
    """Whether a commit's message says that it reverts the commit that brought the code."""
    return suggestion.commit is not None and any(
        suggestion.commit.startswith(commit) for commit in git.reverted_by(said)
    )


def _repaired(before: Suggestion, after: Suggestion, committed: Committed, said: str) -> bool:
    """Whether a commit that says it repairs something changed code that an earlier commit had."""
    if not _REPAIR.search(said) or not committed.previous or committed.action == "amend":
        return False
    text = git.text_at(Path(committed.project), committed.previous, after.file or "")
    if text is None:
        return False
    earlier = regions.find_again(trace_of(after), text, after.file or "", old=None)
    if earlier is None:
        return False
    was = text_of(text.split("\n"), earlier)
    return code_tokens(was) != code_tokens(after.region or "") and (
        before.commit is not None or before.state == "settled"
    )
