"""Real code in the order in which it was written.

The functions of a git repository, by the commit that first had them. Nothing is checked out, and
nothing is run but git's reading commands. The functions are those of the newest commit. The work is
bounded by the number of commits read, newest first: what is older than those counts as there from
the beginning.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qi_learn.bench.functions import (
    MAX_CHARACTERS,
    SKIPPED_DIRECTORIES,
    DemoFunction,
    functions_in,
    names_in,
)
from qi_learn.errors import NotFound, ToolMissing

MAX_COMMITS = 500
MAX_BLOB = 400_000
"""Bytes; larger files are data more often than code."""


@dataclass(frozen=True, slots=True)
class Introduced:
    """A function and the commit that first had its name in its file."""

    function: DemoFunction
    commit: str
    when: float


def repository_functions(
    repository: Path, *, max_commits: int = MAX_COMMITS, max_characters: int = MAX_CHARACTERS
) -> list[Introduced]:
    """The functions of the newest commit, oldest introduction first, then by file and line.

    Raises NotFound if `repository` is no git repository with a commit, ToolMissing if git is not
    installed.
    """
    commits = [
        line.split(" ")
        for line in _git(
            repository, "log", f"--max-count={max_commits}", "--format=%H %ct", "--no-merges"
        ).split("\n")
        if line
    ]
    if not commits:
        raise NotFound(f"{repository} has no commits.", "Give a repository with a history.")
    born: dict[tuple[str, str], int] = {}
    order = list(reversed(commits))
    for position, (commit, _) in enumerate(order):
        changed = _tree(repository, commit) if position == 0 else _changed(repository, commit)
        for file, text in _blobs(repository, commit, changed):
            for name in names_in(text):
                born.setdefault((file, name), position)
    functions: list[tuple[int, DemoFunction]] = []
    for file, text in _blobs(repository, "HEAD", _tree(repository, "HEAD")):
        functions += [
            (born.get((file, f.name), len(order) - 1), f)
            for f in functions_in(text, file, max_characters=max_characters)
        ]
    functions.sort(key=lambda item: (item[0], item[1].file, item[1].start))
    return [
        Introduced(function, order[position][0], float(order[position][1]))
        for position, function in functions
    ]


def export(repository: Path, target: Path) -> Path:
    """Put the files of the newest commit into `target`, without what is not committed; `target`."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=repository, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    return target


def _tree(repository: Path, commit: str) -> list[str]:
    return _python(_git(repository, "ls-tree", "-r", "-z", "--name-only", commit))


def _changed(repository: Path, commit: str) -> list[str]:
    options = ("--no-commit-id", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=AM")
    return _python(_git(repository, "diff-tree", *options, commit))


def _python(names: str) -> list[str]:
    paths = [name for name in names.split("\0") if name.endswith(".py")]
    return [
        name
        for name in paths
        if "\n" not in name and not SKIPPED_DIRECTORIES & set(name.split("/")[:-1])
    ]


def _blobs(repository: Path, commit: str, files: list[str]) -> Iterator[tuple[str, str]]:
    """(file, text) of those files in a commit that are text of a reasonable size."""
    if not files:
        return
    request = "".join(f"{commit}:{file}\n" for file in files).encode()
    output = _run(repository, ["cat-file", "--batch"], request)
    at = 0
    for file in files:
        end = output.index(b"\n", at)
        header = output[at:end].rsplit(b" ", 2)
        at = end + 1
        if header[-1] == b"missing" or not header[-1].isdigit():
            continue
        size = int(header[-1])
        if header[-2] == b"blob" and size <= MAX_BLOB:
            yield file, output[at : at + size].decode("utf-8", "replace")
        at += size + 1


def _git(repository: Path, *arguments: str) -> str:
    return _run(repository, list(arguments), b"").decode("utf-8", "replace")


def _run(repository: Path, arguments: list[str], given: bytes) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            input=given,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            "git is not installed.",
            "Install git, or use an installed package as the source of code.",
        ) from error
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise NotFound(
            f"{repository} cannot be read as a git repository: {reason}",
            "Give the top directory of a repository with at least one commit.",
        )
    return done.stdout
