"""How HEAD of a working tree moved: from its reflog, else from where it is.

Without a reflog (`core.logAllRefUpdates = false`) only where HEAD is can be compared with where it
was. What moved it is then inferred: a new commit whose parent was HEAD is a commit, one beside HEAD
an amended one. If HEAD names another branch, or git noted where HEAD was (`ORIG_HEAD`: a merge,
pull, rebase, reset), or for anything else it is a checkout, which writes what is not the person's.
"""

from __future__ import annotations

import logging
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.outside.git_files import Look, look_of, stamp
from qi_learn.workspace.reflog import Reflog
from qi_learn.workspace.table_log import TableLog, keeps_tables

logger = logging.getLogger(__name__)
NO_REFLOG = "git keeps no log of HEAD here (core.logAllRefUpdates), so what moved HEAD is inferred"
FRESH_SECONDS = 600.0
"""Seconds since a commit was made, up to which it may be the one that moved HEAD."""


class Head:
    """The moves of HEAD of a working tree, from now on or since a time.

    `stood`: the commit where HEAD was at that time, if it is known; `log_read`: up to which byte
    its log was read then.
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
        self._top, self._git_dir = top, git_dir
        self._common = git.common_directory(top)
        after = (log_read, stood) if stood is not None and log_read else None
        self._reflog: Reflog | TableLog = (
            TableLog(top, git_dir, self._common, since=since, after=after)
            if keeps_tables(self._common)
            else Reflog(git_dir, since=since, after=after)
        )
        self.commit = git.head(top) if since is None else stood
        """Where HEAD was when its moves were last told; None before the first commit."""
        self._stood = stood
        self._stamp: Look = self._look() if stood is None else ()
        self._asked: Look | None = None
        self._jump = False
        self._left = self._leaving()
        self._seen: tuple[git.HeadMove, ...] = ()
        self.guessed = False
        """Whether the moves that were given out last are inferred, or would have been."""

    @property
    def log_read(self) -> int:
        """Up to which byte the log of HEAD was read and told."""
        return self._reflog.size

    @property
    def inferred(self) -> bool:
        """Whether there is a commit, and no log of how HEAD came there."""
        return self.commit is not None and not self._reflog.exists

    def moves(self, now: float) -> tuple[git.HeadMove, ...]:
        """The moves that were not accepted yet."""
        self._seen, self.guessed = (), not self._reflog.exists
        if self._reflog.exists:
            self._seen = self._since_stood(self._reflog.peek())
            self.guessed = self._reflog.rewritten or self._jumped()
        if self.guessed:  # no log, or one that was cleaned up before it was read
            self._seen = self._inferred(now)
        return self._seen

    def _since_stood(self, moves: tuple[git.HeadMove, ...]) -> tuple[git.HeadMove, ...]:
        """The moves from where HEAD stood on: the log has whole seconds, so some may be older."""
        if self._stood is None or self._reflog.goes_on:
            return moves
        first = next((i for i, move in enumerate(moves) if move.old == self._stood), len(moves))
        return moves[first:]

    def _jumped(self) -> bool:
        """Whether HEAD is elsewhere than it stood, and the log does not say how it came there.

        As after a log that was empty was cleaned up again. git is asked only when its files have
        changed: this holds as long as nothing moves.
        """
        if self._seen or (look := self._look()) == self._stamp:
            return False
        if look != self._asked:
            stood = self.commit if self._stood is None else self._stood
            self._asked, self._jump = look, stood != git.head(self._top)
        return self._jump

    def accept(self) -> None:
        """Take the moves that were given out last as told."""
        self._stood = None
        if self._reflog.exists:
            self._reflog.accept()
        if self._seen:
            self.commit = self._seen[-1].new
            self._left = self._leaving()
        self._seen = ()
        self._stamp = self._look()

    def _inferred(self, now: float) -> tuple[git.HeadMove, ...]:
        if self._look() == self._stamp:
            return ()
        commit = git.head(self._top)
        if commit is None or commit == self.commit:
            self._stamp = self._look()
            return ()
        old = self.commit or ""
        return (git.HeadMove(old, commit, now, self._action(old, commit, now), ""),)

    def _action(self, old: str, commit: str, now: float) -> str:
        if old and self._leaving() != self._left:
            return "checkout"
        try:
            parents, made = git.commit_facts(self._top, commit)
            if abs(now - made) > FRESH_SECONDS:
                return "checkout"
            if not old or parents == (old,):
                return "commit"
            if old in parents:
                return "merge"
            return "amend" if git.commit_facts(self._top, old)[0] == parents else "checkout"
        except NotFound as error:
            logger.info("what moved HEAD to %s is not known: %s", commit, error.what)
            return "checkout"

    def _look(self) -> Look:
        return look_of(self._git_dir, self._common)

    def _leaving(self) -> tuple[object, ...]:
        """What changes if another branch is checked out, or git notes where HEAD was."""
        if keeps_tables(self._common):
            return git.branch(self._top), git.commit_named(self._top, "ORIG_HEAD")
        return self._branch(), *stamp(self._git_dir / "ORIG_HEAD")

    def _branch(self) -> str | None:
        """The reference that HEAD names."""
        try:
            text = (self._git_dir / "HEAD").read_text("utf-8", "surrogateescape")
        except OSError:
            return None
        return text[5:].strip() if text.startswith("ref: ") else None
