"""A directory that git takes up again is watched, and one that it leaves out now is not any more.

What its files have when they are taken up is what they had before: it is nobody's save.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from qi_learn.workspace.area import Area, skipped
from qi_learn.workspace.areas import Areas
from qi_learn.workspace.missed import read_texts, written_since
from qi_learn.workspace.places import is_at, outermost
from qi_learn.workspace.watched_project import WatchedProject


def follow_rules(areas: Areas, project: WatchedProject, area: Area) -> None:
    """Watch what git leaves out of an area no more, and let go of what it leaves out now.

    It is done again if git does not answer. Raises NotFound.
    """
    if not area.look_at_rules():
        return
    before, now = area.left_out, area.ignored_directories()
    for path in outermost(now - before):
        areas.leave(project, path)
    for path in outermost(before - now):
        if not any(is_at(path, above) for above in now):
            _enter(areas, project, area, path, now)
    area.left_out, area.rules_due = now, False


def _enter(
    areas: Areas, project: WatchedProject, area: Area, path: str, left_out: set[str]
) -> None:
    """Watch a directory that was left out."""
    there = os.path.isdir(path) and not os.path.islink(path)
    if not there or path in project.areas or skipped(area.name_of(path)):
        return
    if os.path.lexists(f"{path}/.git"):
        areas.begin_area(project, path, fresh=False)
        return
    walked = areas.watch_tree(project, area, path, fresh=False, left_out=left_out)
    _read(project, area, map(area.name_of, walked.files))


def _read(project: WatchedProject, area: Area, names: Iterable[str]) -> None:
    """Know files by what they have now; not known is what those had that were written since."""
    new = {name for name in names if area.files.get(name) is None}
    if area.repository is not None:
        new &= area.repository.unlike_head()
    late = written_since(area, new, area.ruled_at)
    project.begin_missed(area, late)
    read_texts(project, area, new - late, {})
