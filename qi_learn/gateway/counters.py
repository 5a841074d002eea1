"""What the gateway saw and could not treat as it should: counted, so that it can be told.

A client whose requests are not recognised, a routed model that the server does not have, exchanges
too long or unreadable to be recorded: all of them pass, and none of them silently. Counts are those
of this process. Paths come without their queries, and clients by their program's name alone
(`User-Agent` up to its first space).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qi_learn.gateway.header_bytes import header_text

MOST_KINDS = 50
"""Pairs of path and client that are counted apart; what comes after them is counted together."""
LONGEST_NAME = 100
OTHER = "(others)"
NOT_RECORDED = (
    "asked",
    "paused",
    "off",
    "other_user",
    "unknown_user",
    "unregistered",
    "unknown_projects",
    "no_answer",
)
"""The reasons for which a request passes and is not recorded: its header asks for it, a pause,
`gateway.record = false`, another user's program sent it, its client was gone before it was known
whose it is, it comes from no registered project, or of which that is not known because the list
cannot be read, no server answered it.
"""


@dataclass(slots=True)
class Unrecognised:
    """Requests that look like inference and go to no path that is known here."""

    path: str
    client: str
    count: int = 0
    last: float = 0.0
    """Unix seconds."""


@dataclass(slots=True)
class Missing:
    """Requests whose routed model the server does not have, and what answered instead."""

    model: str
    count: int = 0
    last: float = 0.0
    """Unix seconds."""
    stand_in: str = ""
    """Empty if nothing answered instead."""


class Counters:
    """The counts of one gateway. Called on its loop, and by the thread that records."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._plain = dict.fromkeys(("requests", "recorded", "routed", "too_long", "unreadable"), 0)
        self._not_recorded: dict[str, int] = {}
        self._unrecognised: dict[tuple[str, str], Unrecognised] = {}
        self._missing: dict[str, Missing] = {}
        self.changes = 0
        """Grows with every change."""

    def count(self, what: str) -> None:
        """Count one of `requests`, `recorded`, `routed`, `too_long`, `unreadable`."""
        self._plain[what] += 1
        self.changes += 1

    def not_recorded(self, reason: str) -> None:
        """Count a request that is not recorded, for one of the reasons `NOT_RECORDED`."""
        self._not_recorded[reason] = self._not_recorded.get(reason, 0) + 1
        self.changes += 1

    def unrecognised(self, path: str, client: str) -> None:
        """Count a request that looks like inference and is not known."""
        key = (path[:LONGEST_NAME], client[:LONGEST_NAME])
        if key not in self._unrecognised and len(self._unrecognised) >= MOST_KINDS:
            key = (OTHER, OTHER)
        seen = self._unrecognised.setdefault(key, Unrecognised(*key))
        seen.count, seen.last = seen.count + 1, self._clock()
        self.changes += 1

    def missing(self, model: str, stand_in: str) -> None:
        """Count a request whose routed model is missing."""
        if model not in self._missing and len(self._missing) >= MOST_KINDS:
            model = OTHER
        seen = self._missing.setdefault(model, Missing(model))
        seen.count, seen.last, seen.stand_in = seen.count + 1, self._clock(), stand_in
        self.changes += 1

    def found(self, model: str) -> None:
        """Note that a routed model answers: what was missing is there again."""
        if self._missing and self._missing.pop(model, None) is not None:
            self.changes += 1

    def facts(self) -> dict[str, Any]:
        """All counts, for the gateway's state: the busiest first."""
        unrecognised = sorted(self._unrecognised.values(), key=lambda seen: -seen.count)
        return {
            **self._plain,
            "not_recorded": dict(self._not_recorded),
            "unrecognised": [asdict(seen) for seen in unrecognised],
            "missing": [asdict(seen) for seen in self._missing.values()],
        }


def client_of(headers: Mapping[str, str]) -> str:
    """The name of a client's program, as far as it gives one."""
    return named_client(headers) or "(no name)"


def named_client(headers: Mapping[str, str]) -> str | None:
    """The first word of what a client calls itself, as `aider/0.86`; None if it does not."""
    words = (header_text(headers.get("User-Agent")) or "").split()
    return words[0][:LONGEST_NAME] if words else None
