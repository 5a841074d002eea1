"""What the person's newest stashes hold, so that a stash brought back is not taken for a save."""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git_blobs

Trees = dict[str, str]
"""The ids of contents by file."""
_NEWEST = 3
GONE_SECONDS = 60.0
"""Seconds for which a stash that was dropped is remembered: bringing one back drops it."""


class Stashes:
    """The stashes of a repository, seen from a directory of one of its working trees."""

    def __init__(self, top: Path, common: Path) -> None:
        self._top = top
        self._log = common / "logs" / "refs" / "stash"
        self._stamp: tuple[int, int] | None = None
        self._held: dict[str, Trees] = {}
        self._gone: dict[str, float] = {}

    def contents(self) -> list[Trees]:
        """What each of them changed, and the untracked files that it took along."""
        self._follow()
        return list(self._held.values())

    def _follow(self) -> None:
        stamp = self._look()
        now = time.monotonic()
        if stamp != self._stamp:
            self._stamp = stamp
            listed = self._listed()
            for commit in listed:
                if commit not in self._held:
                    self._held[commit] = self._changed(commit)
                self._gone.pop(commit, None)
            for commit in self._held.keys() - listed:
                self._gone.setdefault(commit, now)
        for commit in [c for c, when in self._gone.items() if now - when > GONE_SECONDS]:
            del self._gone[commit], self._held[commit]

    def _look(self) -> tuple[int, int]:
        try:
            status = self._log.stat()
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _listed(self) -> list[str]:
        try:
            lines = self._log.read_bytes().splitlines()
        except OSError:
            return []
        ids = [line.split(b" ")[1].decode("ascii", "replace") for line in lines if b" " in line]
        return ids[-_NEWEST:]

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
