"""Directories as places: which one is in a place, and which lie within which."""

from __future__ import annotations

import os
from collections.abc import Iterable


def identity(directory: str, *, follow: bool = False) -> tuple[int, int] | None:
    """Which directory is there; a link in its place is none, but for a project's own top."""
    try:
        status = os.stat(directory, follow_symlinks=follow)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def outermost(names: Iterable[str]) -> list[str]:
    """The names that lie in none of the others."""
    found: list[str] = []
    for name in sorted(names, key=lambda n: n.split("/")):
        if not found or not name.startswith(found[-1] + "/"):
            found.append(name)
    return found


def is_at(top: str, path: str) -> bool:
    """Whether an area's top is a directory or lies below it."""
    return top == path or top.startswith(f"{path}/")
