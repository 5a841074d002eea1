"""Answers that were recorded and that no daemon takes in now: none runs, or the one there hangs.

The newest answer may be one of them, so that what is in the database is not the last one.
"""

from __future__ import annotations

import time

from qi_learn.daemon.lock import locked
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.store.database import open_store
from qi_learn.store.waiting_turns import count_waiting

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Untaken:
    """How many answers wait, and what takes them in."""

    count: int = 0
    hangs: bool = False
    """Whether there is a daemon that does not answer."""
    runs: bool = False
    """Whether there is one that answers, or is just starting: it is at work on them."""

    @property
    def newer(self) -> str:
        """That they are newer than what is in the database, as the beginning of a sentence."""
        return (
            "1 answer waits and is newer"
            if self.count == 1
            else f"{self.count} answers wait and are newer"
        )

    @property
    def todo(self) -> str:
        """The command that has them taken in."""
        return f"`qi-learn daemon {'restart' if self.hangs else 'start'}`"


def waiting_answers(paths: Paths, *, seconds: float = 0.0) -> Untaken:
    """The answers that wait and that no daemon is taking in.

    `seconds`: how long to wait for one that is at work; those that are left then count too. With
    0 a daemon that answers, or is just starting, counts as one that has taken them in.

    Raises StoreError if the database cannot be read.
    """
    count = _count(paths)
    if not count:
        return Untaken()
    if not locked(paths):
        return Untaken(count)
    from qi_learn.daemon.client import hung  # a socket: not needed if there is no daemon

    if hung(paths) is not None:
        return Untaken(count, hangs=True)
    deadline = time.monotonic() + seconds
    while count and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        count = _count(paths)
    return Untaken(count, runs=True) if seconds and count else Untaken()


def _count(paths: Paths) -> int:
    if not any(paths.spool.glob("*.jsonl*")):
        return 0
    if not paths.database.exists():
        return count_waiting(None, paths.spool)
    with open_store(paths.database, readonly=True) as store:
        return count_waiting(store, paths.spool)
