"""The commits of one author, and what each of them added."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_call import ask

_HUNK = re.compile(r"@@ -\d+(?:,(?P<gone>\d+))? \+(?P<at>\d+)(?:,(?P<count>\d+))? @@")
_FILE = re.compile(r"\+\+\+ (?:b/)?(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class AuthoredCommit:
    """A commit that is no merge."""

    id: str
    ts: float
    """When it was written (Unix seconds)."""
    message: str


@dataclass(frozen=True, slots=True)
class AddedLines:
    """Lines that a commit put between two others, without taking any away."""

    file: str
    first: int
    """The number of the first of them in the file, from 1."""
    count: int


def own_email(directory: Path) -> str:
    """Under which address the person commits in a repository; empty if none is set."""
    return ask(directory, "config", "user.email", check=False).text.strip()


def commits_by(directory: Path, email: str, after: str) -> list[AuthoredCommit]:
    """The commits of an author that HEAD has and `after` has not, oldest first, no merges.

    All of them if there is no commit `after`. Raises NotFound if git does not answer.
    """
    known = after and ask(directory, "cat-file", "-e", f"{after}^{{commit}}", check=False)
    span = f"{after}..HEAD" if known and known.exit_code == 0 else "HEAD"
    form = "--format=%H%x00%at%x00%ae%x00%B%x00"
    options = ("--no-merges", "--reverse", "-z", form, span, "--")
    fields = ask(directory, "log", *options).output.decode("utf-8", "replace").split("\0")
    found = []
    for at in range(0, len(fields) - 4, 5):
        id, ts, author, message = fields[at : at + 4]
        if author.casefold() == email.casefold():
            found.append(AuthoredCommit(id.strip(), float(ts), message.strip()))
    return found


def added_by(directory: Path, commit: str) -> list[AddedLines]:
    """What a commit added below `directory`. Raises NotFound if git does not answer."""
    options = (
        "--root",
        "-p",
        "-U0",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--relative",
    )
    shown = ask(directory, "diff-tree", "--no-commit-id", "-r", *options, commit)
    found: list[AddedLines] = []
    file, header = "", False
    for line in shown.output.decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith("diff --git "):
            file, header = "", True
        elif header and (named := _FILE.fullmatch(line)):
            file = "" if named["name"] == "/dev/null" else named["name"].removesuffix("\t")
        elif hunk := _HUNK.match(line):
            header = False
            count = int(hunk["count"] or 1)
            if file and hunk["gone"] == "0" and count:
                found.append(AddedLines(file, int(hunk["at"]), count))
    return found
