"""One look at an area: how HEAD moved, what the marked files hold, what of it is the person's.

The order is the invariant. The moves of HEAD are read before the texts, and both count only if git
did not write in between. So a text that git wrote is known to be git's, however late it is looked
at: it is that of a commit to which git moved HEAD since. The saves in a commit are told before it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.outside.git_stashes import is_anothers
from qi_learn.workspace.area import Area
from qi_learn.workspace.file_history import Blob
from qi_learn.workspace.files import NOT_TEXT, FileContent, in_conflict
from qi_learn.workspace.object_age import taken_up
from qi_learn.workspace.partly_restored import partly_restored
from qi_learn.workspace.put_away import put_away
from qi_learn.workspace.repository_state import RepositoryState, throws_away, writes

MOST_PASSED_BY = 50
"""Files of a commit whose text is taken from git if git wrote over it before it was read."""
MOST_MARKED = 2000
"""Marked files up to which it is asked what of them a stash took: more are git's doing."""
EMPTIED_SECONDS = 3.0
"""Seconds for which an empty file is taken for one that is about to be written: a program that
saves in place empties the file first, and `generate > a.py` leaves it so while it works."""
Versions = list[tuple[float, Blob | None]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A move of HEAD and what it changed: files, with the id of their content after it."""

    move: git.HeadMove
    blobs: dict[str, str | None]

    @property
    def writes(self) -> bool:
        """Whether git wrote these files into the tree."""
        return writes(self.move)


@dataclass(frozen=True, slots=True)
class NewText:
    """A text that a file has now, or had in between."""

    name: str
    text: str
    told: bool
    """Whether it is a save; else git wrote it."""
    ts: float | None = None
    """When it was there; None if now."""
    taken_back: bool = False
    """Whether git brought it back, as far as that can be told."""


@dataclass(slots=True)
class Look:
    """What a look found."""

    moves: list[Moved] = field(default_factory=list)
    texts: list[NewText] = field(default_factory=list)
    known: dict[str, Versions] = field(default_factory=dict)
    """What git had of the files that nothing was kept of."""
    early: set[str] = field(default_factory=set)
    """Files that were emptied just now: they are to be looked at again."""


def look(area: Area, names: Iterable[str], now: float) -> Look | None:
    """Look at files of an area, and at HEAD; None if git is writing, so that it is too early.

    Nothing is changed in the area: the same look can be taken again. Raises NotFound if git does
    not answer.
    """
    repository = area.repository
    if repository is None:
        found = Look()
        contents = area.read(area.watched(names))
        _wait_for_emptied(area, found, contents)
        _compare(area, found, contents, ())
        return found
    if repository.git_is_writing():
        return None
    stamp = repository.stamp()
    repository.stashes.follow()
    moves = [m for move in repository.head.moves(now) if (m := _moved(repository, move))]
    found = Look(moves)
    touched = {name for moved in moves for name in moved.blobs}
    watched = area.watched({*names, *touched}, known=touched)
    _passed_by(area, found, set(watched), now)
    _put_away(area, found, set(names) & set(watched), now)
    contents = area.read(_not_clean(repository, watched, moves))
    _wait_for_emptied(area, found, contents, at_once=touched)
    _compare(area, found, contents, moves)
    if stamp != repository.stamp():
        return None
    repository.stashes.accept()
    return found


def _wait_for_emptied(
    area: Area, found: Look, contents: dict[str, FileContent], *, at_once: Container[str] = ()
) -> None:
    """Leave files out that were emptied just now, but those that are to be read `at_once`."""
    for name, content in contents.items():
        if content.raw != b"" or content.gone or name in at_once:
            continue
        try:
            age = time.time() - os.stat(area.path_of(name)).st_mtime
        except OSError:
            continue  # it went: that is told by an event of its own
        if 0 <= age < EMPTIED_SECONDS:
            found.early.add(name)
    for name in found.early:
        del contents[name]


def _moved(repository: RepositoryState, move: git.HeadMove) -> Moved | None:
    top = repository.top
    try:
        if not move.old and move.action != "commit":  # a clone, or a branch by another name
            move = replace(move, action="clone")  # all of it was written
            return Moved(move, dict(git_blobs.tree_blobs(top, move.new)))
        if move.action == "branch":  # `git checkout -B`: the branch was set to another commit
            move = replace(move, action="reset")
        return Moved(move, git_blobs.changed_blobs(top, move.old, move.new))
    except NotFound:  # a commit was cleaned away before we came to it, or was never fetched
        return _whole(repository, move)


def _whole(repository: RepositoryState, move: git.HeadMove) -> Moved | None:
    """A move from a commit that is gone: any file may have changed. None if the other is gone."""
    try:
        return Moved(move, dict(git_blobs.tree_blobs(repository.top, move.new)))
    except NotFound:
        return None


def _not_clean(
    repository: RepositoryState, names: Sequence[str], moves: Sequence[Moved]
) -> list[str]:
    """The files that have to be read: not those that are still as git wrote them."""
    written = {name for moved in moves if moved.writes for name in moved.blobs}
    if not written:
        return list(names)
    unlike = repository.unlike(moves[-1].move.new)
    return [name for name in names if name not in written or name in unlike]


def _compare(
    area: Area, found: Look, contents: dict[str, FileContent], moves: Sequence[Moved]
) -> None:
    """Find the texts that are new, and which of them git wrote."""
    repository = area.repository
    written = [(moved.move.ts, moved.move.new) for moved in moves if moved.writes]
    fresh = [name for name in contents if area.files.get(name) is None]
    if repository is not None:
        found.known.update(repository.known(fresh, written))
    else:
        found.known.update({name: [(0.0, None)] for name in fresh})
    after = {name: blob for moved in moves if moved.writes for name, blob in moved.blobs.items()}
    new = {
        name: content
        for name, content in contents.items()
        if not _is_known(area, found, name, content, after)
    }
    for name in {text.name for text in found.texts} & (contents.keys() - new.keys()):
        found.texts.append(NewText(name, contents[name].text or "", False))  # git took it back
    for name in _as_git_filters(repository, found, new):
        del new[name]
    texts = {name: content.text for name, content in new.items()}
    area.set_aside[NOT_TEXT] += sum(
        1 for name, text in texts.items() if text is None and new[name].raw is not None
    )
    by_git, back = (set(), set()) if repository is None else _by_git(area, repository, new, moves)
    if repository is not None:
        rest = {name: texts[name] or "" for name in new.keys() - by_git - back}
        before = partial(_text_before, area, found)
        back |= partly_restored(repository.top, repository.git_dir, rest, before)
    # gone files first: of a renamed file the old name is reported before the new one
    for name in sorted(new, key=lambda n: not new[n].gone):
        text = texts[name]
        if text is not None:
            told = name not in by_git
            found.texts.append(NewText(name, text, told, taken_back=name in back))


def _is_known(
    area: Area, found: Look, name: str, content: FileContent, after: dict[str, str | None]
) -> bool:
    """Whether a content is the last that was known of the file."""
    history = area.files.get(name)
    if history is not None and name not in after:
        return history.ends_with(content) or (content.text == "" and history.newest == "")
    if history is not None:
        blob = after[name]
    elif name in found.known:
        last = found.known[name][-1][1]
        blob = None if last is None else last.id
    else:
        return False
    return content.text == "" if blob is None else content.has_id(blob)


def _text_before(area: Area, found: Look, name: str) -> str | None:
    """The last text that was known of a file; None if it was none, or is not to be had."""
    history = area.files.get(name)
    if history is not None:
        return history.newest
    last = found.known[name][-1][1] if found.known.get(name) else None
    return None if last is None else last.text()


def _as_git_filters(
    repository: RepositoryState | None, found: Look, names: Iterable[str]
) -> list[str]:
    """Those of the files that git writes through a filter, and that are as git wrote them."""
    last = {name: found.known[name][-1][1] for name in names if found.known.get(name)}
    odd = [name for name, blob in last.items() if blob is not None and blob.filtered]
    if repository is None or not odd or repository.head.commit is None:
        return []
    unlike = repository.unlike(repository.head.commit)
    return [name for name in odd if name not in unlike]


def _by_git(
    area: Area, repository: RepositoryState, new: dict[str, FileContent], moved: Sequence[Moved]
) -> tuple[set[str], set[str]]:
    """Those of the files that git wrote, or took away, without a commit of their own.

    And those that have again what git had because git brought it back, for sure or maybe.
    """
    if not new:
        return set(), set()
    moves = [each.move for each in moved]
    solved = {name for name, content in new.items() if _is_solved(area, name, content)}
    sources = repository.written_by_git(list(new), moves, solved=solved)
    found = {
        name
        for name, content in new.items()
        if any(name in source and content.has_id(source[name]) for source in sources)
    }
    others = {name: content for name, content in new.items() if name not in found}
    in_moves = {name for each in moved for name in each.blobs}
    found |= {n for n in others.keys() & in_moves if in_conflict(others[n].raw or b"")}
    more, back = repository.written_from_objects(
        others,
        moved=in_moves,
        committed=solved | _committed(moved),
        wrote=any(each.writes or each.move.concluded for each in moved),
    )
    found |= more
    resets = [move.new for move in moves if throws_away(move)]
    gone = [name for name, content in new.items() if content.gone]
    if resets and gone:
        tree = git_blobs.tree_blobs(repository.top, resets[-1], gone)
        found |= set(gone) - set(tree)
    return found, back


def _is_solved(area: Area, name: str, content: FileContent) -> bool:
    """Whether a file was in conflict when it was last read, and is not any more."""
    history = area.files.get(name)
    return (
        history is not None and history.ends_in_conflict() and not in_conflict(content.raw or b"")
    )


def _committed(moves: Sequence[Moved]) -> set[str]:
    """The files that the person committed, without what git had left to be finished."""
    own = [each for each in moves if not each.writes and not each.move.concluded]
    return {name for each in own for name in each.blobs}


def _passed_by(area: Area, found: Look, watched: set[str], now: float) -> None:
    """Find the saves that were committed, and written over by git before they were read."""
    repository, moves = area.repository, found.moves
    if repository is None:
        return
    for i, moved in enumerate(moves):
        # of what git left to be finished it is not known any more who wrote it
        done = moved.writes or moved.move.concluded
        if done or not any(later.writes for later in moves[i + 1 :]):
            continue
        names = [name for name in moved.blobs if name in watched][:MOST_PASSED_BY]
        known = repository.known([name for name in names if area.files.get(name) is None])
        earlier = git_blobs.blobs_before(repository.top, names, int(moved.move.ts))
        for name in names:
            blob = moved.blobs[name]
            text = "" if blob is None else Blob(repository.top, blob).text()
            history = area.files.get(name)
            if blob in earlier.get(name, ()) or in_conflict((text or "").encode()):
                continue  # git brought it, from another commit
            if text is not None and not (history is not None and history.had(text, blob or "")):
                found.known.setdefault(name, known.get(name, []))
                ts = min(now, taken_up(repository.common, blob, moved.move.ts))
                found.texts.append(NewText(name, text, True, ts))


def _put_away(area: Area, found: Look, marked: set[str], now: float) -> None:
    """Find the saves that git put into a stash before they were read, of files that are marked."""
    repository = area.repository
    stashes = [] if repository is None else repository.stashes.fresh()
    if repository is None or not stashes or not marked:
        return
    stood = {repository.head.commit, *(c for m in found.moves for c in (m.move.old, m.move.new))}
    for stash, held in stashes if len(marked) <= MOST_MARKED else ():
        names = sorted(held.keys() & marked)
        if stash.parent not in stood or not names:
            continue
        if is_anothers(repository.common, repository.git_dir, stash.branch):
            continue
        fresh = [name for name in names if area.files.get(name) is None]
        for name, versions in repository.known(fresh).items():
            found.known.setdefault(name, versions)
        before = partial(_text_before, area, found)
        odd = repository.filtered(names)
        asked = {name: held[name] for name in names if name not in odd}
        saves = put_away(repository, stash, asked, before)
        told = {(new.name, new.text) for new in found.texts}
        found.texts += [
            NewText(save.name, save.text, True, min(now, save.ts))
            for save in saves
            if (save.name, save.text) not in told
            and not ((had := area.files.get(save.name)) and had.had(save.text, held[save.name]))
        ]


def written_at(path: str, now: float, *, missed: bool = False) -> float:
    """When a file was written; now if its own time is not believable.

    `missed`: it was written while nothing watched, so that it may be long ago.
    """
    try:
        written = Path(path).stat().st_mtime
    except OSError:
        return now
    return written if (missed or now - 60 < written) and written <= now else now
