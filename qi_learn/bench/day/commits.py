"""A git repository's commits as steps, newest first: read by git alone, nothing is checked out."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from qi_learn.bench.day.history import MAX_FILE, Step, Texts, is_code
from qi_learn.errors import NotFound, ToolMissing

MAX_COMMITS = 3000
MAX_FILES = 20
"""Code files of one commit; one that touches more moved or formatted them."""


def steps_of_commits(repository: Path) -> Iterator[Step]:
    """The commits of one line of history without merges, newest first by their time.

    The first commit is where the history begins: what it has was there. Raises NotFound if it is no
    git repository, ToolMissing without git.
    """
    listed = _git(
        repository,
        *("log", "--no-merges", f"--max-count={MAX_COMMITS}", "--format=%ct%x00%H%x00%P%x00%s"),
    )
    commits = [line.split("\0") for line in listed.split("\n") if line.count("\0") == 3]
    for at, commit, parent, subject in sorted(commits, key=lambda one: -int(one[0])):
        if parent:
            day = datetime.fromtimestamp(int(at), UTC).date().isoformat()
            yield Step(day, float(at), subject, partial(_changed, repository, parent, commit))


def _changed(repository: Path, parent: str, commit: str) -> Texts:
    """What one commit did to code; nothing if it touched too many files."""
    options = ("--no-commit-id", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=AMD")
    changed = _git(repository, "diff-tree", *options, commit).split("\0")
    files = [file for file in changed if is_code(file)]
    if not 0 < len(files) <= MAX_FILES:
        return Texts({}, {})
    named = [(version, file) for version in (parent, commit) for file in files]
    request = "".join(f"{version}:{file}\n" for version, file in named).encode()
    told = io.BytesIO(_run(repository, ("cat-file", "--batch"), request))
    texts: dict[str, dict[str, str]] = {parent: {}, commit: {}}
    for version, file in named:
        if (text := _next_text(told)) is not None:
            texts[version][file] = text
    return Texts(texts[parent], texts[commit])


def _next_text(told: io.BytesIO) -> str | None:
    """The next of the files asked for; None if it is not there, or is too large."""
    header = told.readline().rsplit(b" ", 2)
    if not header[-1].strip().isdigit():
        return None  # `... missing`
    raw = told.read(int(header[-1]))
    told.read(1)
    return raw.decode("utf-8", "replace") if len(raw) <= MAX_FILE else None


def _git(repository: Path, *arguments: str) -> str:
    return _run(repository, arguments, b"").decode("utf-8", "replace")


def _run(repository: Path, arguments: Sequence[str], given: bytes) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ToolMissing(
            "git is not installed.", "Install git, or give a folder of releases."
        ) from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise NotFound(
            f"git does not read {repository}: {reason}", "Give a repository with a history."
        )
    return done.stdout
