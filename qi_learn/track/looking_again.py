"""Committed code is looked at again for as long as it is followed, a day after the last look.

So that commits count which were not seen because the daemon was off: edits, renames, repairs.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.outside.git_history import commits_between
from qi_learn.records import Suggestion, Tracked
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.removals import in_text, is_removal
from qi_learn.track.renames import new_name, under_name
from qi_learn.track.repairs import repair_in, still_repaired
from qi_learn.track.state import FOLLOWED, brought_by, gone, settled, stands_at, trace_of
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import left_out, tree_with
from qi_learn.workspace.changes import Committed, FileSaved

logger = logging.getLogger(__name__)
LOOK_SECONDS = 86400.0
"""How often code that was committed is looked at again, as long as it is followed."""


def look_due(suggestion: Suggestion, now: float) -> bool:
    """Whether committed code was last looked at a day ago, and not after its last look was due."""
    last = suggestion.looked_at or suggestion.settled_at
    return (
        suggestion.commit is not None
        and suggestion.placed_at is not None
        and last is not None
        and last - suggestion.placed_at < FOLLOWED - LOOK_SECONDS
        and last <= now - LOOK_SECONDS
    )


def look_again(tracked: Tracked, now: float, texts: CleanTexts) -> Suggestion:
    """The suggestion by what the newest commit has of it now.

    For commits that were not seen because the daemon was off.
    """
    suggestion, project = tracked.suggestion, tracked.turn.project
    if project is None or not Path(project).is_dir():
        return suggestion
    if left_out(project, [suggestion.file or ""]):
        return suggestion
    try:
        return _as_committed(tracked, project, now, texts)
    except NotFound as error:
        logger.info(
            "suggestion %d of %s cannot be looked at again: %s",
            suggestion.ordinal,
            suggestion.turn_id,
            error.what,
        )
        return suggestion


def _as_committed(tracked: Tracked, project: str, now: float, texts: CleanTexts) -> Suggestion:
    suggestion = tracked.suggestion
    directory, file = tree_with(project, suggestion.file or "", suggestion.commit or "")
    head = git.head(directory)
    if (
        head is None
        or head == suggestion.commit
        or suggestion.region is None
        or not git.contains(directory, head, suggestion.commit or head)
    ):
        return suggestion
    top = "" if str(directory) == project else str(directory)
    since = Committed(project, head, (file,), "commit", now, suggestion.commit or "", top)
    suggestion = _repaired(suggestion, since, texts)
    text = texts.of_file(git.text_at(directory, head, file), file)
    if text is None:
        renamed = _renamed(since, file, texts)
        if renamed is None:  # deleted, or not to be told apart from here
            return suggestion
        file, text = renamed
    frame = frame_of(tracked)
    if is_removal(suggestion):
        after = in_text(suggestion, text, now)
        return suggestion if after == suggestion else settled(after, frame, now, commit=head)
    region = regions.find_again(trace_of(suggestion), text, file, old=None)
    if region is None:
        return settled(gone(suggestion, now), frame, now, commit=head)
    committed = FileSaved(project, directory / file, text, now, top)
    after = stands_at(suggestion, committed, region, frame)
    commit = brought_by(after, frame, suggestion.commit) or head
    return settled(after, frame, now, commit=commit)


def _renamed(since: Committed, file: str, texts: CleanTexts) -> tuple[str, str] | None:
    """The name that commits gave to a file, and its text under that; None if it has none."""
    name = new_name(since, file)
    seen = None if name is None else under_name(since, name, texts)
    return None if name is None or seen is None else (name, seen.text)


def _repaired(suggestion: Suggestion, since: Committed, texts: CleanTexts) -> Suggestion:
    """The suggestion by what commits that were not seen repaired, or took back of that."""
    if (repair := suggestion.repaired_by) is not None:
        try:
            later = commits_between(since.tree, repair, since.commit)
        except NotFound:  # it was cleaned away
            later = ()
        messages = "\n".join(commit.message for commit in later)
        suggestion = still_repaired(suggestion, since, messages)
    found = repair_in(suggestion, since, texts.of_file)
    return suggestion if found is None else replace(suggestion, repaired_by=found)
