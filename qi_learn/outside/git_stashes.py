"""Stashes that git made and took away again, found by their objects: no list names them any more.

git makes a stash in this order: a commit of its index, then the objects of what the files have,
then the stash. So what the files had that git did not have before became an object after that first
commit, and the times of the two tell it. Objects in a pack have no times of their own.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.file_birth import birth_ns
from qi_learn.outside.git_loose import loose_object

_MOST = 5000
"""New objects up to which they are looked through: git made them by something else."""
_HEAD_BYTES = 4096
_CLOCK_NS = 20_000_000
"""By so much the time when a file was made may be after that when it was written."""


@dataclass(frozen=True, slots=True)
class LooseStash:
    """A stash whose objects are files of their own."""

    commit: str
    parent: str
    """The commit that HEAD was at."""
    index: str
    """The commit of what git's index had."""
    begun_ns: int
    """When git had the index, and began to read the files."""
    branch: str = ""
    """The branch that it was made on; `(no branch)` if there was none."""


def read_stash(common: Path, commit: str) -> LooseStash | None:
    """A stash by its commit; None if it is none, or lies in a pack."""
    text = _commit_text(common, commit)
    parents = _parents(text)
    if len(parents) not in (2, 3):
        return None
    index = _commit_text(common, parents[1])
    if _parents(index) != parents[:1] or "\n\nindex on " not in index:
        return None
    begun = _written_ns(common, parents[1])
    branch = index.partition("\n\nindex on ")[2].partition(":")[0]
    return None if begun is None else LooseStash(commit, parents[0], parents[1], begun, branch)


def is_anothers(common: Path, git_dir: Path, branch: str) -> bool:
    """Whether a stash that was made on a branch is of another working tree than that of `git_dir`.

    It is if another has that branch, which git lets only one have. Without a branch it may be of
    any that has none.
    """
    trees = [common, *(path.parent for path in common.glob("worktrees/*/HEAD"))]
    others = [t for t in trees if (t / "index").exists() and not t.samefile(git_dir)]
    heads = [_first_line(tree / "HEAD") for tree in others]
    if branch == "(no branch)":
        return any(not head.startswith("ref: ") for head in heads)
    return f"ref: refs/heads/{branch}" in heads


def _first_line(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").partition("\n")[0]
    except OSError:
        return ""


def stashes_since(common: Path, since_ns: int) -> list[LooseStash]:
    """The stashes that were made since a time, listed or not, oldest first."""
    commits = []
    for count, (name, head) in enumerate(_new_objects(common, since_ns)):
        if count >= _MOST:
            return []
        if head.startswith(b"commit "):
            commits.append(name)
    found = (read_stash(common, commit) for commit in commits)
    return sorted((each for each in found if each is not None), key=lambda each: each.begun_ns)


def made_by(common: Path, stash: LooseStash, blob: str) -> int | None:
    """When a content became an object, if it did for a stash; None if git had it before.

    Where the clock of the file system is too coarse to tell, it had.
    """
    born, written = birth_ns(_file(common, blob)), _written_ns(common, blob)
    if born is None or written is None or born > written + _CLOCK_NS:  # it lay in a pack before
        return None
    return born if born > stash.begun_ns else None


def _new_objects(common: Path, since_ns: int) -> Iterator[tuple[str, bytes]]:
    """The names of the objects made since a time, with the first bytes of each."""
    for number in range(256):
        directory = f"{common}/objects/{number:02x}"
        try:
            if os.stat(directory).st_mtime_ns < since_ns:
                continue
            entries = list(os.scandir(directory))
            new = [entry for entry in entries if entry.stat().st_mtime_ns >= since_ns]
        except OSError:  # none, or git is clearing up
            continue
        for entry in new:
            yield f"{number:02x}{entry.name}", _head(entry.path)


def _head(file: str) -> bytes:
    """The beginning of an object; empty if it is gone, or was not written to its end."""
    try:
        with open(file, "rb") as packed:
            return zlib.decompressobj().decompress(packed.read(_HEAD_BYTES), _HEAD_BYTES)
    except (OSError, zlib.error):
        return b""


def _commit_text(common: Path, commit: str) -> str:
    """The text of a commit; empty if it is none, or lies in a pack."""
    return (loose_object(common, commit, b"commit") or b"").decode("utf-8", "replace")


def _parents(text: str) -> list[str]:
    lines = text.partition("\n\n")[0].splitlines()
    return [line[7:] for line in lines if line.startswith("parent ")]


def _written_ns(common: Path, name: str) -> int | None:
    """When git last wrote an object, or found it there when it was to write it."""
    try:
        return os.stat(_file(common, name)).st_mtime_ns
    except OSError:
        return None


def _file(common: Path, name: str) -> str:
    return f"{common}/objects/{name[:2]}/{name[2:]}"
