"""What the person's newest stashes hold, so that a stash brought back is not taken for a save."""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.outside.git_files import stamp
from qi_learn.workspace.table_log import keeps_tables

Trees = dict[str, str]
"""The ids of contents by file."""
_NEWEST = 3
GONE_SECONDS = 60.0
"""Seconds for which a stash that was dropped is remembered: bringing one back drops it."""


class Stashes:
    """The stashes of a repository, seen from a directory of one of its working trees."""

    def __init__(self, top: Path, common: Path, *, since: float) -> None:
        """`since`: what was stashed before is no change."""
        self._top = top
        self._common = common
        self._log = common / "logs" / "refs" / "stash"
        self._stamp: tuple[int, int] | None = None
        self._held: dict[str, Trees] = {}
        self._gone: dict[str, float] = {}
        self._since = since
        self._new: dict[str, tuple[float, Trees]] = {}
        """By stash, of those put away just now: when it was seen, what the files had below."""
        self.follow()  # one that is brought back is not in the list any more

    def contents(self) -> list[Trees]:
        """What each of them changed, and the untracked files that it took along.

        Of one that was put away just now also what that left in the files.
        """
        self.follow()
        return [*self._held.values(), *(left for _, left in self._new.values())]

    @property
    def changed(self) -> bool:
        """Whether one was put away or brought back just now."""
        self.follow()
        return bool(self._new or self._gone)

    def follow(self) -> None:
        """Learn which stashes there are, if that changed."""
        look = self._look()
        now = time.monotonic()
        if look != self._stamp:
            self._stamp = look
            listed = self._listed()
            for commit, made in listed.items():
                if commit not in self._held:
                    self._held[commit] = self._changed(commit)
                    if made >= int(self._since):
                        self._new[commit] = (now, self._left(commit))
                self._gone.pop(commit, None)
            for commit in self._held.keys() - listed.keys():
                self._gone.setdefault(commit, now)
        for commit in [c for c, when in self._gone.items() if now - when > GONE_SECONDS]:
            del self._gone[commit], self._held[commit]
        self._new = {c: new for c, new in self._new.items() if now - new[0] <= GONE_SECONDS}

    def _look(self) -> tuple[int, int]:
        tables = self._common / "reftable" / "tables.list"
        return max(stamp(self._log), stamp(tables))

    def _listed(self) -> dict[str, float]:
        """The newest, with the times when they were made."""
        if keeps_tables(self._common):
            moves = git.log_of(self._top, "refs/stash", _NEWEST)
        else:
            try:
                log = self._log.read_bytes().decode("utf-8", "replace")
            except OSError:
                return {}
            moves = git.parse_reflog(log)[-_NEWEST:]
        return {move.new: move.ts for move in moves}

    def _left(self, commit: str) -> Trees:
        try:
            blobs = git_blobs.changed_blobs(self._top, commit, f"{commit}^1")
        except NotFound:
            return {}
        return {file: blob for file, blob in blobs.items() if blob is not None}

    def _changed(self, commit: str) -> Trees:
        changed: Trees = {}
        for read in (self._tracked, self._untracked):
            try:
                changed |= read(commit)
            except NotFound:  # it took no untracked files along, or was cleaned away
                continue
        return changed

    def _tracked(self, commit: str) -> Trees:
        blobs = git_blobs.changed_blobs(self._top, f"{commit}^1", commit)
        return {file: blob for file, blob in blobs.items() if blob is not None}

    def _untracked(self, commit: str) -> Trees:
        return git_blobs.tree_blobs(self._top, f"{commit}^3")
