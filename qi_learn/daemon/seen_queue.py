"""What the watcher saw and is not taken in yet.

The invariant: what was seen in one project is taken in in its order. Between projects none is
needed, so the one with the least to do comes first: a save of now does not wait until an hour of
another project is caught up, and of several that are behind one after the other is done, which is
what the next daemon need not do again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from qi_learn.workspace.changes import Committed, FileSaved

Seen = FileSaved | Committed


class SeenQueue:
    """Saves and moves of HEAD that wait, by project."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Seen]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def projects(self) -> frozenset[str]:
        """Those in which something waits."""
        return frozenset(self._waiting)

    def extend(self, seen: Iterable[Seen]) -> None:
        """Add what was seen, oldest first."""
        for one in seen:
            self._waiting.setdefault(one.project, deque()).append(one)

    def first(self) -> Seen:
        """What is to be taken in next; it stays until `drop`. Raises IndexError if nothing is."""
        return self._least()[0]

    def drop(self) -> None:
        """Let go of `first`: it is taken in."""
        least = self._least()
        project = least.popleft().project
        if not least:
            del self._waiting[project]

    def _least(self) -> deque[Seen]:
        return min(self._waiting.values(), key=len, default=deque())
