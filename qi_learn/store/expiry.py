"""What grows old: first a turn's texts go, later the turn itself; what a version learned stays.

The invariant: every call is one short transaction over a few rows found by an index, and may be cut
off anywhere; the next one goes on. A turn without its texts keeps its numbers: when, how long, what
it was worth, which data sets had it. A turn that was in a data set keeps those for good, so that
every version can be explained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.records import Message
from qi_learn.store.chains import drop_chain, ends_of
from qi_learn.store.database import Store
from qi_learn.store.turns import ensure_chain

AT_ONCE = 5
"""The number of turns in one transaction."""
_CUT = """
    UPDATE turns SET tip = NULL, answer = ?, options = NULL, request = NULL, shape = NULL,
        context = NULL, context_id = NULL, came = NULL, dirty = 0, texts_gone = ? WHERE id = ?
"""
_TEXTS = (
    "DELETE FROM suggestions WHERE turn_id = ?",
    "DELETE FROM candidates WHERE turn_id = ?",
    "UPDATE events SET body = '{}' WHERE id IN (SELECT id FROM ratings WHERE turn_id = ?)",
    "DELETE FROM ratings WHERE turn_id = ? AND rating IS NULL AND mark IS NULL",
    "UPDATE ratings SET correction = NULL, comment = NULL WHERE turn_id = ?",
    "UPDATE feedback SET final_version = NULL, correction = NULL WHERE turn_id = ?",
    "UPDATE scores SET target_text = NULL WHERE turn_id = ?",
)
"""Statements that take the texts out of what hangs on a turn."""


def old_texts(store: Store, before: float, limit: int = AT_ONCE) -> list[str]:
    """Turns that ended before then and still have their texts, oldest first."""
    sql = "SELECT id FROM turns WHERE texts_gone IS NULL AND ended < ? ORDER BY ended LIMIT ?"
    return [row["id"] for row in store.rows(sql, (before, limit))]


def expire_texts(store: Store, turns: Sequence[str], now: float) -> None:
    """Take the texts of these turns away; their numbers stay."""
    with store.transaction():
        empty = ensure_chain(store, [Message("assistant", "")])
        for turn in turns:
            ends = ends_of(store, turn)
            store.execute(_CUT, (empty, now, turn))
            for statement in _TEXTS:
                store.execute(statement, (turn,))
            drop_chain(store, ends, keep=empty)


def mark_textless(store: Store, turn: str, now: float) -> None:
    """Note that a turn has no texts, because none were recorded."""
    store.execute("UPDATE turns SET texts_gone = ?, dirty = 0 WHERE id = ?", (now, turn))


def old_turns(store: Store, before: float, limit: int = AT_ONCE) -> list[str]:
    """Turns that ended before then and were in no data set, oldest first."""
    sql = """
        SELECT id FROM turns WHERE ended < ?
            AND NOT EXISTS (SELECT 1 FROM run_examples WHERE turn_id = turns.id)
        ORDER BY ended LIMIT ?
    """
    return [row["id"] for row in store.rows(sql, (before, limit))]


def expire_turns(store: Store, turns: Sequence[str]) -> None:
    """Delete these turns with all that hangs on them."""
    with store.transaction():
        for turn in turns:
            ends = ends_of(store, turn)
            store.execute("DELETE FROM turns WHERE id = ?", (turn,))
            drop_chain(store, ends)


def expire_commands(store: Store, before: float, limit: int = 100) -> int:
    """Delete commands that were run before then, a few at once; how many."""
    sql = "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE ts < ? LIMIT ?)"
    return store.execute(sql, (before, limit))


# --- parts of requests, and contexts of projects, that no turn names any more ---------------------


@dataclass(slots=True)
class ShapeSweep:
    """One pass over the turns, newest first, that finds and deletes the shapes that none names.

    It goes a piece at a time, and no further back than to the turn that names the last of them. No
    row number may be given twice meanwhile: after a `forget` the pass begins anew.
    """

    maybe: set[int] | None = None
    """The shapes that no turn is known to name; None before the pass has begun."""
    below: int = 0
    """Row number of the newest turn that was there when it began and is still to be looked at."""
    newest: int = 0
    """Row number of the newest turn that was looked at."""

    @property
    def looks(self) -> bool:
        """Whether it still looks, so that nothing can be deleted yet."""
        return self.maybe is None or (bool(self.maybe) and self.below > 0)

    def go_on(self, store: Store, *, turns: int = 500, shapes: int = 10) -> bool:
        """Do a piece of the pass: look at `turns`, or delete `shapes`; False when it is over."""
        if self.maybe is None:
            self.maybe = self._unnamed(store)
            self.below = self.newest = _highest(store)
        if self.looks:
            self._look_at_new(store, self.maybe)
            self._look_back(store, self.maybe, turns)
        else:
            self._delete(store, self.maybe, shapes)
        return bool(self.maybe)

    def _unnamed(self, store: Store) -> set[int]:
        """The shapes that are the context of no turn, by an index."""
        sql = """
            SELECT id FROM shapes
            WHERE NOT EXISTS (SELECT 1 FROM turns WHERE context_id = shapes.id)
        """
        return {int(row["id"]) for row in store.rows(sql)}

    def _look_back(self, store: Store, maybe: set[int], turns: int) -> None:
        sql = "SELECT rowid FROM turns WHERE rowid <= ? ORDER BY rowid DESC LIMIT 1 OFFSET ?"
        row = store.row(sql, (self.below, turns - 1))
        first = 0 if row is None else int(row[0])
        maybe -= _named(store, first, self.below)
        self.below = max(0, first - 1)

    def _look_at_new(self, store: Store, maybe: set[int]) -> None:
        """Look at the turns that came since: they may name what none named before."""
        highest = _highest(store)
        if highest > self.newest:
            maybe -= _named(store, self.newest + 1, highest)
            self.newest = highest

    def _delete(self, store: Store, maybe: set[int], limit: int) -> None:
        sql = """
            DELETE FROM shapes WHERE id = ?1
                AND NOT EXISTS (SELECT 1 FROM turns WHERE context_id = ?1)
        """
        with store.transaction():
            self._look_at_new(store, maybe)
            some = sorted(maybe)[:limit]
            for shape in some:
                store.execute(sql, (shape,))
            maybe.difference_update(some)


def _highest(store: Store) -> int:
    row = store.row("SELECT max(rowid) FROM turns")
    return int(row[0] or 0) if row else 0


def _named(store: Store, first: int, last: int) -> set[int]:
    """The shapes that requests of turns in a range of rows name."""
    sql = """
        SELECT DISTINCT shape FROM turns WHERE rowid BETWEEN ? AND ? AND shape IS NOT NULL
    """
    rows = store.rows(sql, (first, last))
    return {int(shape) for row in rows for shape in json.loads(row["shape"]).values()}
