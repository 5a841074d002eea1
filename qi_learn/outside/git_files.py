"""What git's own files tell without a process: whether HEAD has moved."""

from __future__ import annotations

import os
from pathlib import Path

Look = tuple[object, ...]


def look_of_head(directory: Path) -> Look | None:
    """What changes if HEAD of the directory's working tree moves; None outside a repository."""
    git_dir = _git_directory(directory)
    if git_dir is None:
        return None
    return look_of(git_dir, _common(git_dir))


def common_of(directory: Path) -> Path | None:
    """What the working trees of the directory's repository share; None outside a repository."""
    git_dir = _git_directory(directory)
    return None if git_dir is None else _common(git_dir)


def look_of(git_dir: Path, common: Path) -> Look:
    """What changes if HEAD of a working tree moves, by what is the tree's own and what is shared.

    HEAD itself, the reference that it names, git's tables of these, and the log of HEAD.
    """
    head = _text(git_dir / "HEAD")
    files = [
        *(common / "packed-refs", common / "reftable" / "tables.list"),
        *(git_dir / "reftable" / "tables.list", git_dir / "logs" / "HEAD"),
    ]
    if head.startswith("ref: "):
        files.append(common / head[5:])
    return (str(git_dir), head, *map(stamp, files))


def _git_directory(directory: Path) -> Path | None:
    """The repository's own directory: `.git` here or above, or what a file of that name names."""
    for place in (directory, *directory.parents):
        there = place / ".git"
        if there.is_dir():
            return there
        if named := _text(there).removeprefix("gitdir: "):
            return place / named
    return None


def _common(git_dir: Path) -> Path:
    """What the repository's working trees share."""
    return git_dir / (_text(git_dir / "commondir") or ".")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return ""


def stamp(file: Path) -> tuple[int, int]:
    """What changes if a file is written: its time (ns) and size; zeros if it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
