"""The second copy of a suggestion, when the first went: in the same file, or in another one.

The invariant: a copy counts only if it was not there before the answer. Of another file that is
known by what git had then, so outside a repository there is none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.lexer import code_tokens
from qi_learn.outside import git
from qi_learn.outside.git_search import commit_before, files_with
from qi_learn.records import Suggestion, Tracked
from qi_learn.settings import CaptureSettings
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.exact import METHOD
from qi_learn.track.match import NotCompared, Saved, find
from qi_learn.track.placing import PlacedMatch, match_in, placed_there
from qi_learn.track.removals import is_removal
from qi_learn.track.save import Save
from qi_learn.track.state import is_exact, is_its_lines, stands_at
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import left_out
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.files import read_text

MOST = 20
"""Files that are looked at."""


def second_copy(tracked: Tracked, save: Save) -> Suggestion | None:
    """The suggestion where it was put a second time, if it was."""
    region = tracked.suggestion.region or ""
    with suppress(NotCompared):
        match = match_in(region, save.before(tracked.turn.started), save)
        if match is not None:
            method = METHOD if is_exact(tracked.suggestion) else match.method
            return placed_there(PlacedMatch(tracked, replace(match, method=method)), save)
    if len(code_tokens(region)) < save.settings.min_tokens:
        return None
    with suppress(NotFound, ToolMissing):
        return _in_another_file(tracked, region, save)
    return None


def _in_another_file(tracked: Tracked, region: str, save: Save) -> Suggestion | None:
    """Raises NotFound or ToolMissing if git cannot answer."""
    project = save.told.project
    directory = Path(project)
    line = max((line.strip() for line in region.split("\n")), key=len)
    files = [f for f in files_with(directory, line) if f != save.told.place][:MOST]
    hidden = left_out(project, files) if files else set()
    base = commit_before(directory, tracked.turn.started) if files else None
    for file in files:
        text = None if file in hidden else save.clean(read_text(directory / file))
        if text is None:
            continue
        before = None if base is None else save.clean(git.text_at(directory, base, file))
        seen = FileSaved(project, directory / file, text, save.told.ts)
        found = stands_in(tracked, region, before or "", seen, save.settings)
        if found is not None:
            return found
    return None


def stands_in(
    tracked: Tracked, region: str, before: str, seen: FileSaved, settings: CaptureSettings
) -> Suggestion | None:
    """The suggestion in another file, if that has its text as it was, and had not before."""
    match = None
    with suppress(NotCompared):
        match = find(
            region,
            before,
            Saved(seen.text),
            min_tokens=settings.min_tokens,
            min_similarity=settings.modified_similarity,
        )
    if match is None:
        return None
    exact = is_its_lines(tracked)
    place = regions.region_at(seen.text, seen.place, match.start, match.end, exact=exact)
    return stands_at(tracked.suggestion, seen, place, frame_of(tracked))


def copy_in_commit(
    tracked: Tracked, committed: Committed, settings: CaptureSettings, texts: CleanTexts
) -> Suggestion | None:
    """The suggestion where a commit that took it away put it: in another file of that commit.

    Raises NotFound if git cannot answer.
    """
    region = tracked.suggestion.region or ""
    if is_removal(tracked.suggestion) or len(code_tokens(region)) < settings.min_tokens:
        return None
    own = committed.name_of(tracked.suggestion.file or "")
    files = [name for name in committed.names if name != own][:MOST]
    places = {f: os.path.relpath(committed.tree / f, committed.project) for f in files}
    hidden = left_out(committed.project, places.values()) if files else set()
    for file in files:
        text, before = (
            texts.of_file(git.text_at(committed.tree, commit, file), file)
            if commit and places[file] not in hidden
            else None
            for commit in (committed.commit, committed.previous)
        )
        if text is None:
            continue
        path = committed.tree / file
        seen = FileSaved(committed.project, path, text, committed.ts, committed.top)
        if (found := stands_in(tracked, region, before or "", seen, settings)) is not None:
            return found
    return None
