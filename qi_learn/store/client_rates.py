"""How many suggestions of each client were found, rejected or are unknown: whether capturing works.

Of the newest turns alone, so that it is read as quickly after years, and says how it is now.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

from qi_learn.record_class import dataclass
from qi_learn.store.database import Store

NEWEST = 2000
"""Turns that are looked at."""
ENOUGH = 20
"""Suggestions with a fate of which a client has at least so many before it is judged."""
FAULTY = 0.9
"""The share of rejections from which on it is the capturing that fails."""
NO_NAME = "(no name)"
_VERSION = re.compile(r"/v?\d\S*$")
_COUNTS = f"""
    SELECT t.client, count(*) AS suggestions, sum(s.placed_at IS NOT NULL) AS placed,
           sum(s.fate IN ('kept', 'edited')) AS kept, sum(s.fate = 'rejected') AS rejected,
           sum(s.fate = 'superseded') AS superseded, sum(s.fate = 'unknown') AS unknown
    FROM (SELECT id, client FROM turns ORDER BY ended DESC LIMIT {NEWEST}) t
         JOIN suggestions s ON s.turn_id = t.id GROUP BY t.client
"""
_LEFT = f"""
    SELECT t.client, v.after_week FROM (SELECT id, client FROM turns
                                        ORDER BY ended DESC LIMIT {NEWEST}) t
           JOIN survival v ON v.turn_id = t.id WHERE v.after_week IS NOT NULL
"""
_SUMS = ("suggestions", "placed", "kept", "rejected", "superseded", "unknown")


@dataclass(frozen=True, slots=True)
class ClientRates:
    """The suggestions of one client, by what became of them."""

    client: str
    """Its name without a version."""
    suggestions: int
    placed: int
    """Found in a file."""
    kept: int
    """As they were, or edited."""
    rejected: int
    superseded: int
    unknown: int
    left: float | None = None
    """The median share of their lines that are left a week after their commit; None if unknown."""

    @property
    def decided(self) -> int:
        """Those whose fate is known."""
        return self.kept + self.rejected + self.superseded

    @property
    def faulty(self) -> bool:
        """Whether so many are rejected that it is no opinion of the answers."""
        judged = self.kept + self.rejected
        return judged >= ENOUGH and self.rejected >= FAULTY * judged


def client_rates(store: Store) -> tuple[ClientRates, ...]:
    """The rates of each client of the newest turns, the one with the most suggestions first."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    for row in store.rows(_COUNTS):
        name = _name(row["client"])
        counts[name] = [
            known + int(row[column] or 0) for known, column in zip(counts[name], _SUMS, strict=True)
        ]
    left: defaultdict[str, list[float]] = defaultdict(list)
    for row in store.rows(_LEFT):
        left[_name(row["client"])].append(float(row["after_week"]))
    found = (
        replace(ClientRates(name, *sums), left=_median(left[name]) if left[name] else None)
        for name, sums in counts.items()
    )
    return tuple(sorted(found, key=lambda rates: (-rates.suggestions, rates.client)))


def _median(values: list[float]) -> float:
    """Of at least one value. `statistics` would load all of `random` into a quick command."""
    values, middle = sorted(values), len(values) // 2
    return (values[middle] + values[~middle]) / 2


def _name(client: str | None) -> str:
    """A client's name without its version."""
    return _VERSION.sub("", client or "") or NO_NAME
