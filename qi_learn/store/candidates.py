"""Which scored turns may become examples: looked at once, when a turn was scored, and stored.

A row of `candidates` says what an example made from the turn would be known by (`key`), or why
there can be none, and whether the person wrote or changed something of it (`own`). So whether there
is enough to learn from costs one query by an index, not the loading of every conversation. Whether
a turn may be an example is for `dataset` to say; it is only kept. A new score takes the row away,
and the turn is to be looked at again.

Of two that say the same, one of them the person's own words, there is one example, and it is that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from qi_learn.record_class import dataclass
from qi_learn.store.database import Store

if TYPE_CHECKING:
    from qi_learn.store.learnables import TurnEvidence

REST_SECONDS = 300.0
"""How long a count holds though something was written that is no evidence."""
_LEARNED = "SELECT turn_id FROM run_examples WHERE run_id IN (SELECT value FROM json_each(:runs))"
_FRESH = f"""
    FROM candidates WHERE key IS NOT NULL AND score >= :threshold
        AND turn_id NOT IN ({_LEARNED})
        AND key NOT IN (SELECT key FROM candidates
                        WHERE turn_id IN ({_LEARNED}) AND key IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class FreshCount:
    """How many distinct examples no version of the live chain has learned."""

    own: int = 0
    """Those of which the person wrote or changed something: what a cycle needs."""
    kept: int = 0
    """The others, which were kept as they were."""


@dataclass(frozen=True, slots=True)
class FreshExample:
    """One of them."""

    key: str
    session: str
    own: bool


@dataclass(frozen=True, slots=True)
class JudgedTurn:
    """A scored turn as an example: its key, or the reason why it can be none."""

    turn_id: str
    key: str | None
    reason: str
    session: str
    score: float
    started: float
    own: bool
    """Whether the person wrote or changed something of the answer to learn."""


def unjudged(store: Store, *, threshold: float, limit: int) -> tuple[TurnEvidence, ...]:
    """Turns over the threshold that were not looked at since they were scored."""
    from qi_learn.store.learnables import load_turn_evidence  # counting needs no turns

    sql = """
        SELECT turn_id FROM scores CROSS JOIN turns ON turns.id = scores.turn_id
        WHERE NOT judged AND target_score >= ? AND NOT never_learn AND texts_gone IS NULL
        ORDER BY target_score LIMIT ?
    """
    return tuple(load_turn_evidence(store, row[0]) for row in store.rows(sql, (threshold, limit)))


def save_candidates(store: Store, candidates: Iterable[JudgedTurn]) -> None:
    """Store what was found of turns."""
    names = ("turn_id", "key", "reason", "session", "score", "started", "own")
    with store.transaction():
        for one in candidates:
            told = (one.turn_id, one.key, one.reason or None)
            values = (*told, one.session, one.score, one.started, int(one.own))
            store.insert("candidates", names, values, replace=True)
            store.execute("UPDATE scores SET judged = 1 WHERE turn_id = ?", (one.turn_id,))


def no_example_because(store: Store, turn_id: str) -> str:
    """Why a turn that was looked at can be no example; empty if it can, or was not looked at."""
    row = store.row("SELECT reason FROM candidates WHERE turn_id = ? AND key IS NULL", (turn_id,))
    return "" if row is None else str(row["reason"] or "")


def left_out(store: Store, *, threshold: float) -> dict[str, int]:
    """The number of turns over the threshold that can be no example, by reason, most first."""
    sql = """
        SELECT reason, count(*) AS turns FROM candidates WHERE key IS NULL AND score >= ?
        GROUP BY reason ORDER BY turns DESC, reason
    """
    return {str(row["reason"]): int(row["turns"]) for row in store.rows(sql, (threshold,))}


def fresh_count(store: Store, *, threshold: float, learned_runs: Collection[str]) -> FreshCount:
    """How many distinct examples there are that no version of the live chain has learned."""
    values = {"threshold": threshold, "runs": json.dumps(sorted(learned_runs))}
    sql = f"SELECT count(DISTINCT key), count(DISTINCT CASE WHEN own THEN key END) {_FRESH}"
    row = store.row(sql, values)
    every, own = (0, 0) if row is None else (int(row[0]), int(row[1]))
    return FreshCount(own, every - own)


def fresh_candidates(
    store: Store, *, threshold: float, learned_runs: Collection[str]
) -> tuple[FreshExample, ...]:
    """Those examples, oldest first."""
    values = {"threshold": threshold, "runs": json.dumps(sorted(learned_runs))}
    rows = store.rows(f"SELECT key, session, own {_FRESH} ORDER BY started, turn_id", values)
    chosen: dict[str, FreshExample] = {}
    for row in rows:
        one = FreshExample(row["key"], row["session"], bool(row["own"]))
        before = chosen.get(one.key)
        if before is None or (one.own and not before.own):
            chosen.pop(one.key, None)  # its place is that of the turn it is made from
            chosen[one.key] = one
    return tuple(chosen.values())


class FreshExamples:
    """How many there are, and which, kept from one decision to the next.

    A daemon decides every half minute, and at most times no evidence came. What else is written
    (texts that expire, above all) takes a few away: it counts after `REST_SECONDS`.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked: tuple[object, ...] = ()
        self._stamp: tuple[int, int] | None = None
        self._counted = 0.0
        self._count = FreshCount()
        self._examples: tuple[FreshExample, ...] | None = None

    def outdate(self) -> None:
        """Have them found anew at the next question: evidence came, or was forgotten."""
        self._stamp = None

    def count(self, store: Store, *, threshold: float, learned_runs: Collection[str]) -> FreshCount:
        """`fresh_count`."""
        asked, stamp = (threshold, frozenset(learned_runs)), store.stamp()
        rests = self._stamp is not None and self._monotonic() < self._counted + REST_SECONDS
        if asked != self._asked or (stamp != self._stamp and not rests):
            self._count = fresh_count(store, threshold=threshold, learned_runs=learned_runs)
            self._asked, self._stamp, self._examples = asked, stamp, None
            self._counted = self._monotonic()
        return self._count

    def each(
        self, store: Store, *, threshold: float, learned_runs: Collection[str]
    ) -> tuple[FreshExample, ...]:
        """Each of them, oldest first."""
        self.count(store, threshold=threshold, learned_runs=learned_runs)
        if self._examples is None:
            self._examples = fresh_candidates(store, threshold=threshold, learned_runs=learned_runs)
        return self._examples
