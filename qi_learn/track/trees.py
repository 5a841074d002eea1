"""The working tree of git that holds a file of a project: its own, a submodule, a linked one."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from qi_learn.outside import git


def tree_of(project: str, place: str) -> tuple[Path, str]:
    """The innermost working tree that holds a file, and the file's name in it.

    `place`: the file's path from the project. Without a tree of its own, it is the project's.
    """
    path = os.path.normpath(os.path.join(project, place))
    above = os.path.dirname(path)
    while above not in (project, os.path.dirname(above)):
        if os.path.lexists(f"{above}/.git"):
            return Path(above), os.path.relpath(path, above)
        above = os.path.dirname(above)
    return Path(project), place


def tree_with(project: str, place: str, commit: str) -> tuple[Path, str]:
    """The tree as `tree_of` has it; if that is gone, the project's, if it knows the commit.

    So a linked working tree that was merged and removed is followed in the project. Raises NotFound
    if git does not answer.
    """
    tree, name = tree_of(project, place)
    if not name.startswith(".."):
        return tree, name
    parts = [part for part in PurePath(place).parts if part != ".."]
    for first in range(1, len(parts)):
        shorter = "/".join(parts[first:])
        if git.text_at(tree, commit, shorter) is not None:
            return tree, shorter
    return tree, name
