"""What commits did to a file, and which commit brought a line: asked through the `git` command.

Renames are followed by git itself where a line is asked for. Merges are left out: what they bring
is in the commits that they bring. Paths are relative to the directory asked about. A refusal of git
becomes NotFound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_call import ask

MOST_COMMITS = 500
"""The newest commits of a range that are looked at."""
_HUNK = re.compile(r"^@@ -(?P<old>\d+)(?:,(?P<count>\d+))? \+\d+(?:,\d+)? @@")
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
    options = ("-w", "-M", "--porcelain", "-L", f"{first + 1},{end}")
    done = ask(directory, "blame", *options, commit, "--", file)
    found: dict[int, str] = {}
    written: dict[str, float] = {}
    last = ""
    for line in done.output.decode("utf-8", "replace").split("\n"):
        if match := _BLAMED.match(line):
            last = found[int(match["line"]) - 1] = match["commit"]
        elif line.startswith("author-time "):
            written[last] = float(line.removeprefix("author-time "))
    return {line: LineOrigin(each, written.get(each, 0.0)) for line, each in found.items()}
