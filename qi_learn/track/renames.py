"""A file got another name in a commit: what stood in it stands there.

The watcher does not tell the text under the new name if git wrote it, as it does with a merge.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.records import Suggestion, Tracked
from qi_learn.settings import CaptureSettings
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.match import NotCompared, Saved, find
from qi_learn.track.state import is_its_lines, stands_at
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import left_out
from qi_learn.workspace.changes import Committed, FileSaved


def new_name(committed: Committed, name: str) -> str | None:
    """The name that a commit gave to a file of the tree; None if it did not rename it."""
    if not committed.previous:
        return None
    try:
        renamed = git_blobs.renamed(committed.tree, committed.previous, committed.commit)
    except NotFound:  # the commit before was cleaned away: nothing says what was renamed
        return None
    return renamed.get(name)


def under_name(committed: Committed, name: str, texts: CleanTexts) -> FileSaved | None:
    """A file of the tree as a commit has it, without secrets; None if it is not to be read."""
    path = Path(os.path.normpath(committed.tree / name))
    renamed = FileSaved(committed.project, path, "", committed.ts, committed.top)
    if left_out(committed.project, [renamed.place]):
        return None
    try:
        text = texts.of_file(git.text_at(committed.tree, committed.commit, name), name)
    except NotFound:
        return None
    return None if text is None else replace(renamed, text=text)


def follow_rename(
    tracked: Tracked, renamed: FileSaved, settings: CaptureSettings
) -> Suggestion | None:
    """The suggestion in the renamed file; None if it does not stand there."""
    suggestion, frame = tracked.suggestion, frame_of(tracked)
    lines = suggestion.region or suggestion.final_text or frame.whole_lines(suggestion.text)
    match = None
    with suppress(NotCompared):
        match = find(
            lines,
            "",
            Saved(renamed.text),
            min_tokens=settings.min_tokens,
            min_similarity=settings.placed_similarity,
        )
    if match is None:
        return None
    exact = is_its_lines(tracked)
    region = regions.region_at(renamed.text, renamed.place, match.start, match.end, exact=exact)
    after = stands_at(suggestion, renamed, region, frame)
    return replace(after, touched_at=suggestion.touched_at)
