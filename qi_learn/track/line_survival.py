"""How many of a suggestion's lines a later commit still has from the commit that brought them.

A line counts if git's blame, read forward in time from its commit, finds it in the later one: with
other white space, in a renamed file, or moved within a file or to another. A change of form alone
(wrapping, quotes) is looked through as well, and so are commits in which lines were away that all
came again: a revert that was reverted, a file that was restored. Lines are a suggestion's own if
they are not blank and were not in the file before it.

The invariant: what cannot be told is None, never 0. So it is if a commit is no part of the branch
any more and none there makes the same change to the file.

Not covered: notebooks, and a line that only one side of a later merge kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.outside.git_history import blame, changes_after, last_seen, newest_after, twin
from qi_learn.records import Tracked
from qi_learn.track import region as regions
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.same_lines import Lines, same_lines
from qi_learn.track.state import trace_of
from qi_learn.track.suggestions import frame_of
from qi_learn.track.trees import left_out, tree_with

FORM_CHANGES = 3
"""How many changes of form, or times that it was away, one line is followed through."""
CHANGES = 20
"""How many changes of its file one line may have been away."""


@dataclass(frozen=True, slots=True)
class Brought:
    """The lines of a suggestion that its commit has."""

    tree: Path
    commit: str
    file: str
    own: int
    """How many lines the suggestion has that are its own, those included that are not there."""
    lines: tuple[Lines, ...]
    """For each of them that is there, the numbers of the lines that hold it, from 0."""
    made: float
    """When the commit was made."""

    @property
    def share(self) -> float | None:
        """The share of the suggestion's own lines that the commit has; None if it has none."""
        return len(self.lines) / self.own if self.own else None


def brought(tracked: Tracked, texts: CleanTexts) -> Brought | None:
    """What the commit of a suggestion brought of it; None if that cannot be told.

    Raises NotFound if git does not answer, or the project is not there.
    """
    suggestion, project = tracked.suggestion, tracked.turn.project
    commit, file = suggestion.commit, suggestion.file
    if project is None or commit is None or file is None:
        return None
    if not Path(project).is_dir():
        raise NotFound(f"{project} is not there.", "If it lies on another disk: mount that.")
    if file.endswith(".ipynb") or left_out(project, [file]):
        return None
    tree, name = tree_with(project, file, commit)
    raw = git.text_at(tree, commit, name)
    text = texts.of_file(raw, name)
    if raw is None or text is None or text.count("\n") != raw.count("\n"):
        return None
    region = regions.find_again(trace_of(suggestion), text, name, old=None)
    if region is None:
        return None
    suggested = frame_of(tracked).whole_lines(suggestion.text).split("\n")
    within = same_lines(suggested, text.split("\n")[region.start : region.end])
    there = [tuple(region.start + n for n in lines) for lines in within.values()]
    made = git.commit_facts(tree, commit)[1]
    older = _older(tree, commit, name, there, suggestion.placed_at or made)
    own = sum(bool(line.strip()) for line in suggested)
    kept = tuple(lines for lines in there if not older.issuperset(lines))
    return Brought(tree, commit, name, own - (len(there) - len(kept)), kept, made)


def _older(
    tree: Path, commit: str, file: str, there: Collection[Lines], placed_at: float
) -> set[int]:
    """Those of the lines that were in the file before the suggestion was put there."""
    numbers = {n for lines in there for n in lines}
    if not numbers:
        return set()
    origins = blame(tree, commit, file, (min(numbers), max(numbers) + 1))
    return {
        n
        for n in numbers & origins.keys()
        if origins[n].commit != commit and origins[n].written < int(placed_at)
    }


def still_there(brought: Sequence[Brought], head: str, until: float) -> list[float | None]:
    """By suggestion, the share of its own lines that `head` had from its commit at a time.

    They are of one file of one commit. None if that cannot be told. Raises NotFound if git does not
    answer.
    """
    first = brought[0]
    commit = _in_history(first.tree, first.commit, first.file, head)
    if commit is None:
        return [None] * len(brought)
    lines = [each.lines for each in brought]
    if commit != first.commit:
        moved = _moved(first, commit)
        lines = [tuple(here for each in own if (here := moved(each))) for own in lines]
    at = replace(first, commit=commit)
    then = newest_after(at.tree, commit, head, until)
    alive = _alive(at, {n for own in lines for each in own for n in each}, then, FORM_CHANGES)
    return [
        sum(alive.issuperset(each) for each in own) / of.own if of.own else None
        for of, own in zip(brought, lines, strict=True)
    ]


def _in_history(tree: Path, commit: str, file: str, head: str) -> str | None:
    """The commit, or the one that took its place, as a part of the history of `head`."""
    try:
        return commit if git.contains(tree, head, commit) else twin(tree, commit, head, file)
    except NotFound:  # it was cleaned away
        return None


def _moved(at: Brought, commit: str) -> Callable[[Lines], Lines]:
    """The numbers that lines of a file have in another commit of it."""
    before, after = (git.text_at(at.tree, each, at.file) or "" for each in (at.commit, commit))
    there = same_lines(before.split("\n"), after.split("\n"))
    return lambda lines: tuple(m for n in lines for m in there.get(n, ()))


def _alive(at: Brought, numbers: set[int], head: str, form_changes: int) -> set[int]:
    """Those of the lines of a commit that `head` has."""
    seen = last_seen(at.tree, at.commit, head, at.file, numbers)
    alive = {n for n, last in seen.items() if last.commit == head}
    if not form_changes:
        return alive
    ends: dict[tuple[str, str], dict[int, int]] = {}
    for n, last in seen.items():
        if n not in alive:
            ends.setdefault((last.commit, last.file), {})[n] = last.line
    for (commit, file), lines in list(ends.items())[:FORM_CHANGES]:
        alive |= _further(replace(at, commit=commit, file=file), lines, head, form_changes)
    return alive


def _further(at: Brought, lines: Mapping[int, int], head: str, form_changes: int) -> set[int]:
    """Those lines that `head` has although the commit after `at` does not have them as they were.

    It gave them another form, or they were away and all came again. `lines`: for each the number
    that it has in `at`, the last commit that has it as it was.
    """
    before = git.text_at(at.tree, at.commit, at.file)
    following = changes_after(at.tree, at.commit, head, at.file)[:CHANGES]
    for number, commit in enumerate(following if before is not None else ()):
        after = git.text_at(at.tree, commit, at.file)
        if before is None or after is None:
            continue
        moved = same_lines(before.split("\n"), after.split("\n"))
        there = {n: moved[line] for n, line in lines.items() if line in moved}
        if there and (number == 0 or len(there) == len(lines)):
            wanted = {m for new in there.values() for m in new}
            alive = _alive(replace(at, commit=commit), wanted, head, form_changes - 1)
            if found := {n for n, new in there.items() if alive.issuperset(new)}:
                return found
    return set()
