"""What happened in a project while nothing watched it: what can be caught up, and what cannot.

With the commit where HEAD stood, what happened since is told as if the watcher came late: the
moves of HEAD from git's log, and the files written since, compared with that commit. What git wrote
is not taken for the person's. Files that were saved before are looked at too, though git never had
them: they may be gone. Without a repository that is all: the text from before is not known, so what
an answer became is seen, and that one was taken is not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records.watching import Stood
from qi_learn.workspace.area import Area
from qi_learn.workspace.places import identity
from qi_learn.workspace.watched_project import WatchedProject

_FEW = 50
"""Files that are read sooner than git is asked what they were."""
SHORT_SECONDS = 60.0
"""Seconds without a watcher of which a person is not told."""


def known_commit(top: Path, commit: str | None) -> str | None:
    """The commit, if git still has it."""
    if commit is None:
        return None
    try:
        git.commit_facts(top, commit)
    except NotFound:
        return None
    return commit


def made_since(project: WatchedProject, area: Area, git_dir: Path, stood: Stood) -> bool:
    """Whether a repository below the project's top was made while nothing watched.

    Its log of HEAD says so: that begins with no commit. So a tree that was linked then, or a
    repository that was begun or cloned, is told from its first commit on.
    """
    if area.top == project.root or area.top in stood.heads:
        return False
    moves = [move for move, _ in _first_moves(git_dir, 1)]
    if not moves:
        return changed_at(str(git_dir / "HEAD")) >= stood.at  # no commit yet, or no log is kept
    return not moves[0].old and moves[0].ts >= int(stood.at)


def begun_at(
    project: WatchedProject, top: Path, git_dir: Path
) -> tuple[float, str | None, int] | None:
    """From where the moves of HEAD are to be told of a repository that appeared in a project.

    When it was made, the commit that git put there, and up to which byte the log of HEAD has it.
    None if it was made before the project was watched, or was there already and only moved, or git
    keeps no log of it. Raises NotFound if git does not answer.
    """
    head = git.head(top)  # before the log is read: git may be at work here
    moves = _first_moves(git_dir, 2)
    unborn = (identity(str(git_dir)), 0.0, "")
    if not moves:
        if head is not None:
            return None
        project.begun.add(unborn)
        return time.time(), None, 0
    first, size = moves[0]
    mark = (unborn[0], first.ts, first.new)
    known = mark in project.begun or (first.action == "commit" and unborn in project.begun)
    if known or first.old or first.ts < int(project.added):
        return None
    project.begun.add(mark)
    if first.action == "commit":  # the first one, of a person
        return first.ts, None, 0
    again = len(moves) > 1 and moves[1][0].new == first.new  # `git worktree add` resets its tree
    return first.ts, first.new, moves[1][1] if again else size


def _first_moves(git_dir: Path, count: int) -> list[tuple[git.HeadMove, int]]:
    """The first lines of the log of HEAD, with the byte at which each ends; none without a log."""
    try:
        with (git_dir / "logs" / "HEAD").open("rb") as log:
            lines = [log.readline() for _ in range(count)]
    except OSError:
        return []
    ends = accumulate(map(len, lines))
    moves = (git.parse_reflog(line.decode("utf-8", "replace").rstrip("\n")) for line in lines)
    return [(found[0], end) for found, end in zip(moves, ends, strict=True) if found]


def read_first(project: WatchedProject, area: Area, files: Iterable[str]) -> None:
    """Read the texts that files have when watching begins, but for those that git has.

    `files`: the paths that were found; they are asked for only without a repository. Raises
    NotFound if git does not answer.
    """
    stood = project.stood
    saved = () if stood is None else stood.saved.get(area.top, ())
    area.saved.update(saved)
    if area.repository is not None:
        names = sorted(area.repository.unlike_head())
        if stood is not None and area.repository.catches_up:
            area.missed = written_since(area, names, stood.at)
            area.pending |= area.missed
            names = [name for name in names if name not in area.missed]
            project.begin_missed(area, gone_of(area, saved, names))
    else:
        names = sorted(area.name_of(path) for path in files)
        if stood is not None:
            project.begin_missed(area, written_since(area, saved, stood.at))
    repository = area.repository if len(names) > _FEW else None
    read_texts(project, area, names, {} if repository is None else repository.touched(names))


def read_texts(
    project: WatchedProject, area: Area, names: Iterable[str], as_head: Mapping[str, str]
) -> None:
    """Know files by the texts that they have now, if nothing is known of them.

    `as_head`: the ids of what git has of some; a file with that content needs no text here.
    """
    names = list(names)
    unknown = [name for name in area.watched(names, known=names) if area.files.get(name) is None]
    for name, content in area.read_each(unknown):
        if name not in as_head or not content.has_id(as_head[name]):
            project.begin_file(area, name, content.text)


def written_since(area: Area, names: Iterable[str], at: float) -> set[str]:
    """Those of the files that were written since a time, or are gone."""
    return {name for name in names if changed_at(area.path_of(name)) >= at}


def gone_of(area: Area, saved: Iterable[str], told: Iterable[str]) -> set[str]:
    """Those of the files that are gone and that git does not tell of, because it never had them."""
    known = {*told, *area.missed}
    return {
        name
        for name in saved
        if name not in known
        and area.files.get(name) is None
        and not os.path.lexists(area.path_of(name))
    }


def changed_at(path: str) -> float:
    """When a file last changed in any way; infinite if it is gone."""
    try:
        status = os.lstat(path)
    except OSError:
        return float("inf")
    return max(status.st_mtime, status.st_ctime)


def not_seen(project: WatchedProject) -> str | None:
    """Since when nothing watched a project, if that cannot be caught up."""
    stood, main = project.stood, project.areas.get(project.root)
    if stood is None or main is None or project.added - stood.at < SHORT_SECONDS:
        return None
    repository = main.repository
    if main.refused or (repository is not None and repository.catches_up):
        return None
    return f"not watched from {_clock(stood.at)} to {_clock(project.added)}"


def _clock(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ts))
