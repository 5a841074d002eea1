"""The working tree of git that holds a file of a project: its own, a submodule, a linked one.

Also whether the file is looked at, by what the person leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from qi_learn.outside import git
from qi_learn.workspace.files import plain_name
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore


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


def left_out(project: str, places: Iterable[str]) -> set[str]:
    """Those of the places (paths from the project) of which no text is to be read.

    By the person's own rules, and by names that tell of secrets.
    """
    found, ruled = set(), {}
    for place in places:
        tree, name = tree_of(project, place)
        if not plain_name(name):
            found.add(place)
        ruled[place] = os.path.join(project, name if _is_linked(tree) else place)
    allowed = QiLearnIgnore(project).allowed(ruled.values())
    return found | {place for place, path in ruled.items() if path not in allowed}


def _is_linked(tree: Path) -> bool:
    """Whether a working tree is one more of its repository: there the rules count from its top."""
    try:
        return "/worktrees/" in (tree / ".git").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
