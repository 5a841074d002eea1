"""What commits did to a file, and which commit brought a line: asked through the `git` command.

Renames are followed by git itself where a line is asked for. Merges are left out: what they bring
is in the commits that they bring. Paths are relative to the directory asked about. A refusal of git
becomes NotFound.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_call import ask

MOST_COMMITS = 500
"""The newest commits of a range that are looked at."""
_HUNK = re.compile(r"^@@ -(?P<old>\d+)(?:,(?P<count>\d+))? \+\d+(?:,\d+)? @@")
_BLAME = ("blame", "--no-ignore-revs-file", "-w", "-M")
"""A file of commits to look through that is missing would make git refuse."""
GAP, MOST_SPANS = 20, 50
"""Lines between two that are asked for together, and the most ranges of one question."""
_TOLD = re.compile(
    r"^(?P<commit>[0-9a-f]{40,64}) (?P<there>\d+) (?P<line>\d+)(?: \d+)?\n"
    r"(?:(?!filename |\t).*\n)*filename (?P<file>.*)\n\t",
    re.MULTILINE,
)
_BLAMED = re.compile(r"^\^?(?P<commit>[0-9a-f]{40,64}) \d+ (?P<line>\d+)(?: \d+)?$")


@dataclass(frozen=True, slots=True)
class CommitSaid:
    """One commit that is no merge."""

    id: str
    parent: str
    """Empty if it is the first."""
    author: str
    message: str


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """Where a line came from."""

    commit: str
    written: float
    """When its author made the commit (Unix seconds): later than that it may have been rebased."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that a commit took out of a file, and what it put in their place."""

    start: int
    """Number of the first line that went, from 0."""
    removed: tuple[str, ...]
    added: tuple[str, ...]


def commits_between(
    directory: Path, old: str, new: str, file: str | None = None
) -> tuple[CommitSaid, ...]:
    """The commits after `old` up to `new`, newest first; of one file, if it is given.

    If `old` is empty, `new` alone. Raises NotFound.
    """
    form = "--format=%H%x1f%P%x1f%an <%ae>%x1f%B%x1e"
    span = (f"{old}..{new}", f"-{MOST_COMMITS}") if old else (new, "-1")
    paths = () if file is None else ("--", file)
    done = ask(directory, "--literal-pathspecs", "log", "--no-merges", form, *span, *paths)
    found = []
    for told in done.output.decode("utf-8", "replace").split("\x1e"):
        parts = told.strip("\n").split("\x1f")
        if len(parts) == 4:
            id, parents, author, message = parts
            found.append(CommitSaid(id, parents.partition(" ")[0], author, message.strip()))
    return tuple(found)


def hunks(directory: Path, commit: CommitSaid, file: str) -> tuple[Hunk, ...]:
    """What a commit changed in a file; nothing if it was not there before. Raises NotFound."""
    if not commit.parent:
        return ()
    options = ("-p", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    span = (commit.parent, commit.id, "--", file)
    done = ask(directory, "--literal-pathspecs", "diff-tree", *options, *span)
    found: list[tuple[int, list[str], list[str]]] = []
    for line in done.output.decode("utf-8", "replace").split("\n"):
        if head := _HUNK.match(line):
            found.append((max(0, int(head["old"]) - 1), [], []))
        elif found and line[:1] in ("-", "+"):
            _, removed, added = found[-1]
            (removed if line[0] == "-" else added).append(line[1:].rstrip("\r"))
    return tuple(Hunk(start, tuple(gone), tuple(new)) for start, gone, new in found if gone)


def blame(directory: Path, commit: str, file: str, lines: tuple[int, int]) -> dict[int, LineOrigin]:
    """The commit that brought each line (numbers from 0, the end not included) of a file.

    White space and moves within the file are looked through. Raises NotFound.
    """
    first, end = lines
    options = ("--porcelain", "-L", f"{first + 1},{end}")
    done = ask(directory, *_BLAME, *options, commit, "--", file)
    found: dict[int, str] = {}
    written: dict[str, float] = {}
    last = ""
    for line in done.output.decode("utf-8", "replace").split("\n"):
        if match := _BLAMED.match(line):
            last = found[int(match["line"]) - 1] = match["commit"]
        elif line.startswith("author-time "):
            written[last] = float(line.removeprefix("author-time "))
    return {line: LineOrigin(each, written.get(each, 0.0)) for line, each in found.items()}


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The last commit in which a line stood, and where."""

    commit: str
    file: str
    line: int
    """Number of the line there, from 0."""


def last_seen(
    directory: Path, commit: str, head: str, file: str, lines: Collection[int]
) -> dict[int, LastSeen]:
    """For lines of a file in a commit: up to which commit on the way to `head` each stood.

    What stands still has `head`. White space, renames, and moves within and between files are
    looked through. Raises NotFound.
    """
    if commit == head or not lines:
        return {line: LastSeen(head, file, line) for line in lines}
    spans = [part for first, end in _spans(lines) for part in ("-L", f"{first + 1},{end}")]
    options = ("--reverse", "-C", "--line-porcelain", *spans)
    done = ask(directory, *_BLAME, *options, f"{commit}..{head}", "--", file)
    found: dict[int, LastSeen] = {}
    for told in _TOLD.finditer(done.output.decode("utf-8", "replace")):
        line = int(told["line"]) - 1
        found[line] = LastSeen(told["commit"], told["file"], int(told["there"]) - 1)
    return {line: each for line, each in found.items() if line in lines}


def _spans(lines: Collection[int]) -> list[tuple[int, int]]:
    """Line numbers as few ranges (the end not included); small gaps are taken along."""
    spans: list[tuple[int, int]] = []
    for line in sorted(lines):
        if spans and line - spans[-1][1] < GAP:
            spans[-1] = (spans[-1][0], line + 1)
        else:
            spans.append((line, line + 1))
    if len(spans) > MOST_SPANS:
        return [(spans[0][0], spans[-1][1])]
    return spans


def changes_after(directory: Path, commit: str, head: str, file: str) -> tuple[str, ...]:
    """The commits after `commit`, on the way to `head`, that changed a file, the first one first.

    Raises NotFound.
    """
    options = ("--reverse", "--ancestry-path", f"{commit}..{head}")
    done = ask(directory, "--literal-pathspecs", "rev-list", *options, "--", file)
    return tuple(done.text.split())


def newest_after(directory: Path, commit: str, head: str, until: float) -> str:
    """The newest commit behind `commit`, on the way to `head`, that was made by a time.

    `commit` itself if none was. Raises NotFound.
    """
    options = ("-1", f"--before={int(until)}", "--ancestry-path", f"{commit}..{head}")
    return ask(directory, "rev-list", *options).text.strip() or commit


def twin(directory: Path, commit: str, head: str, file: str) -> str | None:
    """The commit of another branch that makes the same change to a file; None if there is none.

    So a commit that was rebased, picked or squashed is found. Raises NotFound.
    """
    form = ("--format=commit %H", "-p", "--no-color", "--no-ext-diff", "--no-textconv")
    own = ask(directory, "--literal-pathspecs", "log", "-1", *form, commit, "--", file)
    span = (f"-{MOST_COMMITS}", "--no-merges", f"{commit}..{head}")
    others = ask(directory, "--literal-pathspecs", "log", *form, *span, "--", file)
    same = ("patch-id", "--stable")
    wanted = ask(directory, *same, given=own.output).text.split()
    if not wanted:
        return None
    known = ask(directory, *same, given=others.output).text.split("\n")
    pairs = (line.split() for line in known if line.strip())
    return next((each[1] for each in pairs if each[0] == wanted[0]), None)
