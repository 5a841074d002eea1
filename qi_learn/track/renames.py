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
from qi_learn.track.state import stands_at
from qi_learn.track.suggestions import frame_of
from qi_learn.workspace.changes import Committed, FileSaved


def under_new_name(committed: Committed, name: str, texts: CleanTexts) -> FileSaved | None:
    """A file of the tree as a commit has it under another name, without secrets.

    None if it was not renamed.
    """
    if not committed.previous:
        return None
    tree = committed.tree
    try:
        new = git_blobs.renamed(tree, committed.previous, committed.commit).get(name)
        text = None if new is None else texts.of_any(git.text_at(tree, committed.commit, new))
    except NotFound:  # the commit before was cleaned away: nothing says what was renamed
        return None
    if new is None or text is None:
        return None
    path = Path(os.path.normpath(tree / new))
    return FileSaved(committed.project, path, text, committed.ts, committed.top)


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
    region = regions.region_at(renamed.text, renamed.place, match.start, match.end)
    after = stands_at(suggestion, renamed, region, frame)
    return replace(after, touched_at=suggestion.touched_at)
