"""Commits that repair what an earlier commit brought: the evidence that it had a bug.

A commit blames a suggestion if it says that it is a repair (a revert, `fix:`, "Fixes #n"), and if
it removed lines of the suggestion that, by git's blame, the suggestion's commit brought. Words in
between are no sign ("Fix typo", "fixed point arithmetic"), nor are merges, a robot's commits, or
changes of comments, docstrings and form. The blame is taken back if the repair is: by a revert of
it, or if it is no part of the branch any more.

Not covered: a repair that only adds lines, and one in a commit that renames the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.lexer import code_tokens
from qi_learn.outside import git
from qi_learn.outside.git_history import (
    CommitSaid,
    Hunk,
    LineOrigin,
    blame,
    commits_between,
    hunks,
)
from qi_learn.records import Suggestion
from qi_learn.track import region as regions
from qi_learn.track.code_lines import code_lines, same_form
from qi_learn.track.state import trace_of
from qi_learn.workspace.changes import Committed

_SUBJECT = re.compile(r"(?:fix|bugfix|hotfix)(?:\([^()\n]*\))?!?: ", re.IGNORECASE)
"""A conventional commit (conventionalcommits.org) of the type `fix`."""
_FIXES = re.compile(
    r"\bfix(?:e[sd])?:? +(?:[\w.-]+/[\w.-]+)?(?:#\d+|GH-\d+)"
    r"|\bfix(?:e[sd])?:? +https?://\S+/(?:issues|-/issues|pull)/\d+",
    re.IGNORECASE,
)
"""The words by which GitHub and GitLab close an issue that a commit fixes."""
_FIXES_COMMIT = re.compile(r"^Fixes: (?P<commit>[0-9a-f]{7,64})\b", re.MULTILINE)
"""The trailer of the Linux kernel: it names the commit that had the bug."""
_ROBOT = re.compile(r"\[bot\]|\bpre-commit[- .]ci\b|\brenovate\b|\bdependabot\b", re.IGNORECASE)

CleanText = Callable[[str | None, str], str | None]
"""The text of a file of that name without secrets."""


def is_repair(commit: CommitSaid) -> bool:
    """Whether a commit says that it repairs something."""
    if _ROBOT.search(commit.author):
        return False
    subject = commit.message.partition("\n")[0]
    return (
        _SUBJECT.match(subject) is not None
        or _FIXES.search(commit.message) is not None
        or _FIXES_COMMIT.search(commit.message) is not None
        or bool(git.reverted_by(commit.message))
    )


def repair_in(suggestion: Suggestion, committed: Committed, clean: CleanText) -> str | None:
    """The newest commit of a move of HEAD that repaired the suggestion's code, or None.

    `suggestion`: as it was before. None too if git cannot say.
    """
    name = committed.name_of(suggestion.file or "")
    if name is None or suggestion.commit is None or suggestion.region is None:
        return None
    try:
        told = commits_between(committed.tree, committed.previous, committed.commit, name)
        reverted = [each for commit in told for each in git.reverted_by(commit.message)]
        for commit in told:
            if _is_of_another(commit, suggestion.commit) or not is_repair(commit):
                continue
            if any(commit.id.startswith(each) for each in reverted):
                continue
            if _took_out(commit, suggestion, committed.tree, name, clean):
                return commit.id
    except NotFound:  # a commit was cleaned away
        return None
    return None


def _is_of_another(commit: CommitSaid, brought: str) -> bool:
    """Whether a commit says which commit it repairs, and that is not the one."""
    named = _FIXES_COMMIT.findall(commit.message)
    return bool(named) and not any(brought.startswith(each) for each in named)


def _took_out(
    commit: CommitSaid, suggestion: Suggestion, tree: Path, name: str, clean: CleanText
) -> bool:
    """Whether a commit removed code of the suggestion that the suggestion's commit brought."""
    before = clean(git.text_at(tree, commit.parent, name), name) if commit.parent else None
    if before is None:
        return False
    place = regions.find_again(trace_of(suggestion), before, suggestion.file or "", old=None)
    if place is None:
        return False
    changed = hunks(tree, commit, name)
    lines = _code_removed(changed, before, clean(git.text_at(tree, commit.id, name), name), name)
    suggested = {_bare(line) for line in suggestion.text.split("\n")} - {""}
    texts = before.split("\n")
    own = [n for n in lines if place.start <= n < place.end and _bare(texts[n]) in suggested]
    if not own:
        return False
    origins = blame(tree, commit.parent, name, (min(own), max(own) + 1))
    return any(_is_brought(origins[line], suggestion) for line in own if line in origins)


def _bare(line: str) -> str:
    """A line of code as one compares it; empty if there is next to nothing in it."""
    tokens = code_tokens(line)
    return " ".join(tokens) if len(tokens) > 1 else ""


def _is_brought(origin: LineOrigin, suggestion: Suggestion) -> bool:
    """Whether a line came with the suggestion: by its commit, or by one since it was placed.

    Its commit is the one of the text as it stands: an edit of another line makes that a later one.
    """
    placed_at = suggestion.placed_at
    since = placed_at is not None and origin.written >= int(placed_at)
    return origin.commit == suggestion.commit or since


def _code_removed(changed: Sequence[Hunk], before: str, after: str | None, name: str) -> list[int]:
    """The numbers of the lines of code that went and did not only get another form."""
    if after is not None and same_form(before, after, name):
        return []
    code = code_lines(before, name)
    return [
        line
        for hunk in changed
        if not same_form("\n".join(hunk.removed), "\n".join(hunk.added), name)
        for line in range(hunk.start, hunk.start + len(hunk.removed))
        if line in code
    ]


def still_repaired(suggestion: Suggestion, committed: Committed, messages: str) -> Suggestion:
    """The suggestion without its repair, if a move of HEAD took that back.

    `messages`: those of the commits to which it moved.
    """
    repair = suggestion.repaired_by
    if repair is None:
        return suggestion
    if any(repair.startswith(each) for each in git.reverted_by(messages)):
        return replace(suggestion, repaired_by=None)
    try:
        stands = git.contains(committed.tree, committed.commit, repair)
    except NotFound:  # cleaned away: it is no part of any branch
        stands = False
    return suggestion if stands else replace(suggestion, repaired_by=None)
