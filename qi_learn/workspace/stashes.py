"""What the person's newest stashes hold, so that a stash brought back is not taken for a save."""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.outside.git_files import stamp
from qi_learn.outside.git_stashes import LooseStash, read_stash, stashes_since
from qi_learn.workspace.table_log import keeps_tables

Trees = dict[str, str]
"""The ids of contents by file."""
_NEWEST = 3
_SLACK_NS = 1_000_000_000
"""By so much a time of a file may be before the clock's."""
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
        self._fresh: list[LooseStash] = []
        self._begun_ns = self._searched_ns = time.time_ns()
        self._logs: tuple[int, int] = stamp(self._log.parent)
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

    def fresh(self) -> list[tuple[LooseStash, Trees]]:
        """Those made since watching began, and since the last `accept`, with what each holds."""
        return [(stash, self._held.get(stash.commit, {})) for stash in self._fresh]

    def accept(self) -> None:
        """Take those that are fresh for looked at."""
        self._fresh.clear()

    def follow(self) -> None:
        """Learn which stashes there are, if that changed, and which came and went since."""
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
                        self._note_fresh(read_stash(self._common, commit))
                self._gone.pop(commit, None)
            for commit in self._held.keys() - listed.keys():
                self._gone.setdefault(commit, now)
        for stash in self._passed():
            self._held[stash.commit] = self._changed(stash.commit)
            self._gone[stash.commit] = now
            self._note_fresh(stash)
        for commit in [c for c, when in self._gone.items() if now - when > GONE_SECONDS]:
            del self._gone[commit], self._held[commit]
        self._new = {c: new for c, new in self._new.items() if now - new[0] <= GONE_SECONDS}

    def _passed(self) -> list[LooseStash]:
        """Those that came and went between two looks: nothing lists them any more.

        The directory of the list changes if a stash is taken from it.
        """
        logs = stamp(self._log.parent)
        if logs == self._logs:
            return []
        self._logs, since = logs, self._searched_ns - _SLACK_NS
        self._searched_ns = time.time_ns()
        found = stashes_since(self._common, since)
        return [stash for stash in found if stash.commit not in self._held]

    def _note_fresh(self, stash: LooseStash | None) -> None:
        if stash is not None and stash.begun_ns >= self._begun_ns:
            self._fresh.append(stash)

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
