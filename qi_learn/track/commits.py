"""What a move of HEAD means for the suggestions in its files: settled by a commit, taken back by a
revert or a reset, blamed by a repair.

A commit that does not have the code while the working tree still does (only a part was staged) says
nothing. Neither does another branch.

Suggestions come in with what following them needs, and go out as what changed: this reads files and
git, and writes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.code_text import code_tokens, similarity
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.track import region as regions
from qi_learn.track.match import Saved
from qi_learn.track.region import Region, text_of
from qi_learn.track.state import gone, is_followed, settled, stands_at, trace_of, turn_changes
from qi_learn.track.suggestions import frame_of
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.files import read_text

logger = logging.getLogger(__name__)
_REPAIR = re.compile(
    r"\b(?:bug|bugs|fix|fixes|fixed|fixing|hotfix|bugfix|regression|broken|crash(?:es)?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Move:
    """A move of HEAD, and the message of the commit to which it went."""

    committed: Committed
    message: str
    now: float

    @property
    def directory(self) -> Path:
        return Path(self.committed.project)


def on_committed(
    tracked: Sequence[Tracked], committed: Committed, settings: CaptureSettings, now: float
) -> tuple[TurnChange, ...]:
    """What a move of HEAD changed; nothing if its commit was cleaned away before it was read."""
    if committed.action in ("checkout", "clone"):
        return ()
    reset = committed.action == "reset"
    followed = [t for t in tracked if is_followed(t, committed.project, now)]
    concerned = [t for t in followed if reset or t.suggestion.file in committed.files]
    try:
        message = "" if reset or not concerned else _message(committed)
        move = _Move(committed, message, now)
        after = [
            _after_reset(t, move, settings) if reset else _after_commit(t, move) for t in concerned
        ]
        blamed = {
            s.turn_id
            for t, s in zip(concerned, after, strict=True)
            if _repaired(t.suggestion, s, move)
        }
    except NotFound as error:
        logger.info(
            "the move of HEAD to %s in %s is left out: %s",
            committed.commit,
            committed.project,
            error.what,
        )
        return ()
    return turn_changes(tracked, after, settings, blamed=blamed)


def _message(committed: Committed) -> str:
    return git.message(Path(committed.project), committed.commit)


def _after_commit(tracked: Tracked, move: _Move) -> Suggestion:
    suggestion, committed = tracked.suggestion, move.committed
    seen, region = _in_commit(suggestion, move)
    own = region is not None and text_of(seen.text.split("\n"), region) == suggestion.region
    if not own and (_other_branch(suggestion, move) or _left_out(suggestion, move, seen, region)):
        return suggestion
    frame, taken_back = frame_of(tracked), _taken_back(suggestion, move.message)
    if region is not None and not taken_back:
        after = stands_at(suggestion, seen, region, frame)
        return settled(after, frame, move.now, commit=committed.commit)
    if suggestion.region is None and suggestion.state == "settled":
        return suggestion
    after = settled(gone(suggestion, move.now), frame, move.now, commit=suggestion.commit)
    return replace(after, reverted=committed.action == "revert" or taken_back)


def _left_out(suggestion: Suggestion, move: _Move, seen: FileSaved, region: Region | None) -> bool:
    """Whether the working tree has the code and the commit only what was there before it: a part of
    the file was staged.
    """
    if not _still_there(suggestion, move):
        return False
    previous = move.committed.previous
    before = git.text_at(move.directory, previous, suggestion.file or "") if previous else None
    added = Saved(seen.text).added_since(before or "")[0]
    return region is None or not any(i in added for i in range(region.start, region.end))


def _after_reset(tracked: Tracked, move: _Move, settings: CaptureSettings) -> Suggestion:
    """The suggestion after a commit was taken out of the branch, or changes were thrown away: what
    the branch or the working tree still has, lives.
    """
    suggestion, committed = tracked.suggestion, move.committed
    if suggestion.commit is None:
        thrown_away = (
            suggestion.file in committed.files
            and suggestion.region is not None
            and not _still_there(suggestion, move)
        )
        return gone(suggestion, move.now) if thrown_away else suggestion
    if not _other_branch(suggestion, move):
        return suggestion
    frame = frame_of(tracked)
    seen, region = _in_commit(suggestion, move)
    after = None if region is None else stands_at(suggestion, seen, region, frame)
    if (
        after is not None
        and similarity(after.region or "", suggestion.region or "") >= settings.placed_similarity
    ):
        return settled(after, frame, move.now, commit=committed.commit)
    if _still_there(suggestion, move):
        return replace(suggestion, state="placed", commit=None, touched_at=move.now)
    after = settled(gone(suggestion, move.now), frame, move.now, commit=suggestion.commit)
    return replace(after, reverted=True)


def _in_commit(suggestion: Suggestion, move: _Move) -> tuple[FileSaved, Region | None]:
    """The file as the commit has it, and the suggestion's region in it."""
    committed, path = move.committed, move.directory / (suggestion.file or "")
    text = git.text_at(move.directory, committed.commit, suggestion.file or "")
    seen = FileSaved(committed.project, path, text or "", committed.ts)
    if text is None or suggestion.region is None:
        return seen, None
    working = None if suggestion.region in text else read_text(path)
    # another text in the working tree: staged in part, or edited since
    return seen, regions.find_again(trace_of(suggestion), text, suggestion.file or "", old=working)


def _still_there(suggestion: Suggestion, move: _Move) -> bool:
    """Whether the working tree has the code, whatever was committed."""
    text = read_text(move.directory / (suggestion.file or ""))
    return suggestion.region is not None and suggestion.region in (text or "")


def _other_branch(suggestion: Suggestion, move: _Move) -> bool:
    """Whether the commit that has the code is no part of this branch, and was not just replaced."""
    committed = move.committed
    if suggestion.commit is None or (
        suggestion.commit == committed.previous and committed.action == "amend"
    ):
        return False
    try:
        return not git.contains(move.directory, committed.commit, suggestion.commit)
    except NotFound:  # cleaned away
        return committed.action == "reset"


def _taken_back(suggestion: Suggestion, message: str) -> bool:
    """Whether a commit's message says that it reverts the commit that brought the code."""
    return suggestion.commit is not None and any(
        suggestion.commit.startswith(commit) for commit in git.reverted_by(message)
    )


def _repaired(before: Suggestion, after: Suggestion, move: _Move) -> bool:
    """Whether a commit that says it repairs something changed code that an earlier commit had."""
    committed = move.committed
    if (
        after.region is None
        or after == before
        or not _REPAIR.search(move.message)
        or not committed.previous
        or committed.action == "amend"
    ):
        return False
    text = git.text_at(move.directory, committed.previous, after.file or "")
    if text is None:
        return False
    earlier = regions.find_again(trace_of(after), text, after.file or "", old=None)
    if earlier is None:
        return False
    was = text_of(text.split("\n"), earlier)
    return code_tokens(was) != code_tokens(after.region) and (
        before.commit is not None or before.state == "settled"
    )
