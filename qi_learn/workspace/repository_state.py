"""The git side of a tree under watch: what git has of its files, and what git is doing to them.

The invariant: a file that nothing is kept of has the text that it has in the commit that HEAD was
at when its moves were last told. So nothing is read and nothing kept of the files that are as git
has them, however many there are.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.workspace import object_age
from qi_learn.workspace.file_history import Blob
from qi_learn.workspace.files import FileContent
from qi_learn.workspace.git_ignore import GitIgnore
from qi_learn.workspace.head_moves import NO_REFLOG, Head
from qi_learn.workspace.stashes import Stashes, Trees
from qi_learn.workspace.table_log import keeps_tables

logger = logging.getLogger(__name__)
LOCK_SECONDS = 120.0
"""Age up to which git's `index.lock` says that git is writing into the tree; an older one was left
behind.
"""
HEAD_SECONDS = 0.5
"""Seconds after its last write to the index in which git may still move HEAD, which tells who wrote
the files' texts. Until then they are not read.
"""
GIT_WRITES = {
    *("checkout", "pull", "merge", "reset", "rebase", "clone", "revert", "cherry-pick", "am"),
}
"""Moves of HEAD with which git itself writes into the tree."""
_UNFINISHED = (
    *("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "SQUASH_MSG"),
    *("rebase-merge", "rebase-apply"),
)
"""Names in the repository that say that git began something and waits for the person."""
_BASES = 4
"""Commits that git put into the tree of which it is known what files had before."""


class RepositoryState:
    """The repository of a working tree, of which `top` is the whole or a directory within.

    With `since`, the moves of HEAD since then are still to be told, from `stood` on, which the log
    of HEAD has at the byte `log_read`.

    Raises NotFound if git does not answer.
    """

    def __init__(
        self,
        top: Path,
        git_dir: Path,
        *,
        since: float | None = None,
        stood: str | None = None,
        log_read: int = 0,
    ) -> None:
        self.top, self.git_dir = top, git_dir
        self._git_name = os.fspath(git_dir)
        self.common = git.common_directory(top).resolve()
        tables = ("reftable/tables.list", f"{self.common}/reftable/tables.list")
        self._tables = tables if keeps_tables(self.common) else ()
        """The lists of git's tables of references, if it keeps any."""
        self.rules = GitIgnore(top, git_dir, self.common)
        self.head = Head(top, git_dir, since=since, stood=stood, log_read=log_read)
        self.catches_up = since is not None
        """Whether what happened since it was watched before is told too."""
        self._bases: list[tuple[float, str]] = []
        if self.head.commit is not None:
            self._bases.append((-math.inf, self.head.commit))
        self._stashes = Stashes(top, self.common, since=time.time() if since is None else since)
        own = ("index.lock", "logs/HEAD", "index", "HEAD", "config.worktree", *self._tables)
        shared = (self.common / name for name in ("config", "info/exclude", "logs/refs/stash"))
        self._still_files = tuple(os.path.join(git_dir, name) for name in (*own, *shared))
        self._attributes = (git_dir / "info" / "attributes").exists() or _mentions_attributes(top)

    @property
    def note(self) -> str | None:
        """What a person should know of it."""
        return f"{self.top}: {NO_REFLOG}" if self.head.inferred else None

    @cached_property
    def whole(self) -> Path | None:
        """The top of the working tree; asked once. Raises NotFound if git does not answer."""
        return git.top(self.top)

    @property
    def linked(self) -> bool:
        """Whether the tree is one more of its repository (`git worktree add`)."""
        return self.git_dir.parent.name == "worktrees"

    # --- what git is doing ------------------------------------------------------------------------

    def git_is_writing(self) -> bool:
        """Whether git is writing into the tree, or wrote its index just now.

        A checkout lets go of `index.lock` a moment before it says what it did.
        """
        return abs(self._age("index.lock")) < LOCK_SECONDS or abs(self._age("index")) < HEAD_SECONDS

    @property
    def stashes(self) -> Stashes:
        """The person's stashes."""
        return self._stashes

    def stamp(self) -> tuple[float, ...]:
        """What changes if git writes its index or moves HEAD."""
        files = ("index", "logs/HEAD", "HEAD", "index.lock", *self._tables)
        return tuple(self._time(name) for name in files)

    def still(self) -> tuple[int, ...]:
        """What stays as it is as long as a look finds nothing new of git's; empty if that may be.

        For a look every half minute at each repository: the times of a few files, and no more.
        Without a log of HEAD they do not tell enough. What lies elsewhere and decides what git
        leaves out is looked at on its own (`RulesElsewhere`).
        """
        times = tuple(map(object_age.changed_ns, self._still_files))
        lock, log = times[:2]
        return times if not lock and (log or self._tables) else ()

    def rules_stamp(self) -> tuple[int, ...]:
        """What changes if git may say of a file what it did not: that it leaves it out, or not.

        The index first, then the rules. Raises NotFound if git does not answer.
        """
        return (object_age.changed_ns(f"{self._git_name}/index"), *self.rules.stamp())

    def _age(self, name: str) -> float:
        """Seconds since git wrote a file of its own; infinite if there is none.

        Below 0 after the clock was put back.
        """
        written = self._time(name)
        return math.inf if written == 0.0 else time.time() - written

    def _time(self, name: str) -> float:
        try:  # without a Path: it is asked a dozen times for each look at each repository
            return os.stat(os.path.join(self._git_name, name)).st_mtime
        except OSError:
            return 0.0

    # --- what git has -----------------------------------------------------------------------------

    def advance(self, commit: str, ts: float, *, wrote: bool) -> None:
        """Take another commit for what the files have that nothing is kept of.

        `wrote`: whether git put it into the tree, so that before `ts` they had what they had.
        """
        if wrote or not self._bases:
            self._bases.append((ts if self._bases else -math.inf, commit))
            del self._bases[:-_BASES]
        else:
            self._bases[-1] = (self._bases[-1][0], commit)

    def shift(self, seconds: float) -> None:
        """Go by a clock that was set by so many seconds."""
        self._bases = [(ts + seconds, commit) for ts, commit in self._bases]

    def known(
        self, names: Sequence[str], later: Sequence[tuple[float, str]] = ()
    ) -> dict[str, list[tuple[float, Blob | None]]]:
        """What git had of files, oldest first: since when, and the content, None if no file.

        `later`: commits that git has put into the tree since. Nothing if git cannot say any more.
        """
        bases = [*self._bases, *later]
        if not bases or not names:
            return {name: [(-math.inf, None)] for name in names}
        try:
            trees = self._trees(bases, names)
        except NotFound as error:
            logger.warning("what was in %s is not known any more: %s", self.top, error.what)
            head = git.head(self.top)
            if head is None:
                return {}
            self._bases = [(-math.inf, head)]
            trees = self._trees(self._bases, names)
        odd = self.filtered(names)
        return {
            name: [
                (ts, Blob(self.top, tree[name], name in odd) if name in tree else None)
                for ts, tree in trees
            ]
            for name in names
        }

    def filtered(self, names: Sequence[str]) -> set[str]:
        """Those of the files that git writes otherwise than it keeps them. Raises NotFound."""
        return git_blobs.filtered(self.top, names) if self._attributes else set()

    def _trees(
        self, bases: Sequence[tuple[float, str]], names: Sequence[str]
    ) -> list[tuple[float, Trees]]:
        return [(ts, git_blobs.tree_blobs(self.top, commit, names)) for ts, commit in bases]

    def known_below(self, directories: Iterable[str]) -> set[str]:
        """The files that git had in directories."""
        asked = list(directories)
        if not self._bases or not asked:
            return set()
        try:
            return set(git_blobs.tree_blobs(self.top, self._bases[-1][1], asked))
        except NotFound:
            return set()

    def unlike_head(self) -> set[str]:
        """The files that are not as HEAD has them, and those that git does not have.

        Raises NotFound.
        """
        commit = self._bases[-1][1] if self._bases else None
        tracked = git.tracked(self.top) if commit is None else self.unlike(commit)
        return {*git.untracked(self.top), *tracked}

    def touched(self, names: Sequence[str]) -> dict[str, str]:
        """Those of the files that may well be as HEAD has them, with the id of what it has.

        git goes by size and time: after a copy of a tree, or what a build touched, it has to read.
        Raises NotFound.
        """
        if not self._bases or not names:
            return {}
        changed = set(git_blobs.unlike_commit(self.top, self._bases[-1][1]))
        blobs = git_blobs.index_blobs(self.top, names)
        return {name: blobs[name] for name in names if name in blobs and name not in changed}

    def unlike(self, commit: str) -> set[str]:
        """The files that git tracks and that are not as a commit has them. Raises NotFound."""
        changed = git_blobs.unlike_index(self.top)
        return {*changed, *git_blobs.unlike_commit(self.top, commit)}

    # --- what git wrote without moving HEAD -------------------------------------------------------

    def written_by_git(
        self, names: Sequence[str], moves: Sequence[git.HeadMove], *, solved: set[str]
    ) -> list[Trees]:
        """What git may have written into files without moving HEAD.

        A stash that was taken away or brought back, changes that were thrown away by a reset or a
        checkout, a merge that waits for the person: without what the person added to the index.
        `solved`: files that were in conflict.
        """
        trees = [move.new for move in moves if throws_away(move)]
        unfinished = self._there("AUTO_MERGE", *_UNFINISHED)
        if "AUTO_MERGE" in unfinished:
            trees.append("AUTO_MERGE")
        sources = [self._tree(tree, names) for tree in trees] + self._stashes.contents()
        if unfinished - {"AUTO_MERGE"}:
            try:
                blobs = git_blobs.index_blobs(self.top, names)
                added = object_age.made_after(self.top, self.common, blobs, solved=solved)
                sources.append({name: blob for name, blob in blobs.items() if name not in added})
            except NotFound as error:
                logger.info("the index of %s cannot be read: %s", self.top, error.what)
        return sources

    def _there(self, *names: str) -> set[str]:
        """Those of the names in the repository that are there, as files or in its tables."""
        found = {name for name in names if (self.git_dir / name).exists()}
        if self._tables:
            found |= git_blobs.named(self.top, [name for name in names if name not in found])
        return found

    def written_from_objects(
        self, new: dict[str, FileContent], *, moved: set[str], committed: set[str], wrote: bool
    ) -> tuple[set[str], set[str]]:
        """Those of the files that git wrote from what it had, whatever it was asked to do.

        And those in which it brought back what HEAD has: the person took something back. Also those
        that it may have brought back from elsewhere: then nothing else tells.
        `moved`: files that are in a move of HEAD. `committed`: those of one by which git wrote
        nothing. `wrote`: whether it wrote by another.
        """
        found: set[str] = set()
        if wrote or self._stashes.changed:
            found = object_age.made_before(self.top, self.common, new, committed=committed)
        back: set[str] = set()
        if self.head.commit is not None:
            rest = {name: content for name, content in new.items() if name not in found}
            where, commit = (self.top, self.git_dir, self.common), self.head.commit
            back = object_age.put_back(*where, rest, like=commit, filters=self._attributes)
        late = [name for name in new if self._since_written(name)]
        if not late:
            return found, back
        like = set(late) - found - set(git_blobs.unlike_index(self.top, late))
        blobs = git_blobs.index_blobs(self.top, sorted(like))
        blobs = {name: blob for name, blob in blobs.items() if name in like}
        first = object_age.first_in_git(self.top, self.common, blobs, doubt=self.head.guessed)
        had = self._tree("HEAD", sorted(first - moved))
        again = {name for name in first - moved if had.get(name) == blobs[name]}
        return found | (first - again), back | again

    def _since_written(self, name: str) -> bool:
        """Whether git wrote its index after a file was written, and may have written the file."""
        written = object_age.written_ns(f"{self.top}/{name}")
        index = object_age.written_ns(str(self.git_dir / "index"))
        if written is None or index is None or index < written:
            return False
        return not object_age.is_written_into(f"{self.top}/{name}")

    def _tree(self, tree: str, names: Sequence[str]) -> Trees:
        try:
            return git_blobs.tree_blobs(self.top, tree, names)
        except NotFound as error:
            logger.info("%s of %s cannot be read: %s", tree, self.top, error.what)
            return {}


def writes(move: git.HeadMove) -> bool:
    """Whether git wrote into the tree what a move of HEAD changed.

    Not if it only committed what it had left to the person to finish.
    """
    return move.action in GIT_WRITES and move.old != move.new and not move.concluded


def throws_away(move: git.HeadMove) -> bool:
    """Whether a move of HEAD may have thrown away what was not committed."""
    return move.action == "reset" or writes(move)


def _mentions_attributes(top: Path) -> bool:
    """Whether a file of git's attributes may say how files are written."""
    return any((directory / ".gitattributes").exists() for directory in (top, *top.parents))
