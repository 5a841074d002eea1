"""What git and the working tree have of the suggestions' files at a move of HEAD.

Each file and each commit is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside import git
from qi_learn.outside.git_search import commit_before
from qi_learn.records import Tracked
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.renames import new_name, under_name
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.files import read_text


@dataclass(frozen=True, slots=True)
class Facts:
    """What git and the working tree have of a suggestion's file at a move of HEAD."""

    committed: str | None
    """The file's text in the commit; None if it is not there."""
    previous: str | None
    """The file's text in the commit before; None if it was not there, or there is none."""
    working: str | None
    """The file's text in the working tree; None if it cannot be read."""
    other_branch: bool
    """Whether the commit that has the code is no part of this branch, and was not just replaced."""
    renamed: FileSaved | None
    """The file as the commit has it under another name; None if it was not renamed."""
    hidden: bool
    """Whether that name is left out: then nothing is known of what stands there."""
    earlier: str | None
    """The file's text in what the branch was before the turn; None if unknown, or not asked for."""


def read_facts(tracked: Sequence[Tracked], committed: Committed, texts: CleanTexts) -> list[Facts]:
    """The facts about each of the suggestions, without secrets."""
    suggestions = [t.suggestion for t in tracked]
    read = {file: _texts(committed, file, texts) for file in {s.file or "" for s in suggestions}}
    commits = {s.commit for s in suggestions}
    other = {commit: _other_branch(commit, committed) for commit in commits}
    gone_files = {file for file, (text, *_) in read.items() if text is None}
    names = {file: new_name(committed, committed.name_of(file) or file) for file in gone_files}
    renamed = {
        file: under_name(committed, name, texts) for file, name in names.items() if name is not None
    }
    return [
        Facts(
            *read[s.file or ""],
            other[s.commit],
            renamed.get(s.file or ""),
            names.get(s.file or "") is not None and renamed.get(s.file or "") is None,
            _earlier(t, committed, texts) if other[s.commit] else None,
        )
        for t, s in zip(tracked, suggestions, strict=True)
    ]


def _earlier(tracked: Tracked, committed: Committed, texts: CleanTexts) -> str | None:
    """The file as the branch that was reset had it before the turn; None if that is unknown."""
    if committed.action != "reset":
        return None
    tree, file = committed.tree, tracked.suggestion.file or ""
    name = committed.name_of(file) or file
    with suppress(NotFound, ToolMissing):
        before = commit_before(tree, tracked.turn.started - 1)  # git's clock has whole seconds
        return before and texts.of_file(git.text_at(tree, before, name), name)
    return None


def _texts(
    committed: Committed, file: str, texts: CleanTexts
) -> tuple[str | None, str | None, str | None]:
    """The file's text in the commit, in the one before, and in the working tree."""
    tree, previous = committed.tree, committed.previous
    name = committed.name_of(file) or file
    return (
        texts.of_file(git.text_at(tree, committed.commit, name), name),
        texts.of_file(git.text_at(tree, previous, name), name) if previous else None,
        texts.of_file(read_text(tree / name), name),
    )


def _other_branch(commit: str | None, committed: Committed) -> bool:
    if commit is None or (commit == committed.previous and committed.action == "amend"):
        return False
    try:
        return not git.contains(committed.tree, committed.commit, commit)
    except NotFound:  # cleaned away
        return committed.action == "reset"
