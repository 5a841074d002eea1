"""The second copy of a suggestion, when the first went: in the same file, or in another one.

The invariant: a copy counts only if it was not there before the answer. Of another file that is
known by what git had then, so outside a repository there is none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
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
LONGEST = 5
"""How many of the longest lines of what a commit took away are looked for in its other files."""


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
        found = stands_in(tracked, before or "", Saved(text), seen, save.settings)
        if found is not None:
            return found
    return None


def stands_in(
    tracked: Tracked, before: str, saved: Saved, seen: FileSaved, settings: CaptureSettings
) -> Suggestion | None:
    """The suggestion in another file, if that has its text as it was, and had not before."""
    match = None
    with suppress(NotCompared):
        match = find(
            tracked.suggestion.region or "",
            before,
            saved,
            min_tokens=settings.min_tokens,
            min_similarity=settings.modified_similarity,
        )
    if match is None:
        return None
    exact = is_its_lines(tracked)
    place = regions.region_at(seen.text, seen.place, match.start, match.end, exact=exact)
    return stands_at(tracked.suggestion, seen, place, frame_of(tracked))


class CommittedFiles:
    """The files of a commit, for what it took away elsewhere; each is read once for all of that."""

    def __init__(self, committed: Committed, settings: CaptureSettings, texts: CleanTexts) -> None:
        self._committed = committed
        self._settings = settings
        self._texts = texts
        self._saved: dict[str, Saved] = {}
        self._after: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def copy_of(self, tracked: Tracked) -> Suggestion | None:
        """A suggestion that the commit took away where it put it: in another file of it.

        Looked at are files that have one of its longest lines. Raises NotFound if git cannot
        answer.
        """
        region = tracked.suggestion.region or ""
        enough = len(code_tokens(region)) >= self._settings.min_tokens
        if is_removal(tracked.suggestion) or not enough:
            return None
        own = self._committed.name_of(tracked.suggestion.file or "")
        lines = sorted(filter(None, map(str.strip, region.split("\n"))), key=len)[-LONGEST:]
        for name in self._names:
            text = "" if name == own else self._text_after(name)
            if not any(line in text for line in lines):
                continue
            path, committed = self._committed.tree / name, self._committed
            seen = FileSaved(committed.project, path, text, committed.ts, committed.top)
            if name not in self._saved:
                self._saved[name] = Saved(text)
            before, saved = self._text_before(name), self._saved[name]
            found = stands_in(tracked, before, saved, seen, self._settings)
            if found is not None:
                return found
        return None

    @cached_property
    def _names(self) -> list[str]:
        """The first of those that are not left out, by their names within the tree."""
        committed = self._committed
        names = committed.names[: MOST + 1]
        places = {n: os.path.relpath(committed.tree / n, committed.project) for n in names}
        hidden = left_out(committed.project, places.values())
        return [name for name in names if places[name] not in hidden]

    def _text_after(self, name: str) -> str:
        if name not in self._after:
            self._after[name] = self._text_in(self._committed.commit, name)
        return self._after[name]

    def _text_before(self, name: str) -> str:
        if name not in self._before:
            self._before[name] = self._text_in(self._committed.previous, name)
        return self._before[name]

    def _text_in(self, commit: str, name: str) -> str:
        """A file's text in a commit, without secrets; empty if it is not there."""
        text = git.text_at(self._committed.tree, commit, name) if commit else None
        return self._texts.of_file(text, name) or ""
