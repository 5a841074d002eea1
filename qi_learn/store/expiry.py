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
        context = NULL, context_id = NULL, dirty = 0, texts_gone = ? WHERE id = ?
"""
_TEXTS = (
    "DELETE FROM suggestions WHERE turn_id = ?",
    "DELETE FROM candidates WHERE turn_id = ?",
    "UPDATE events SET body = '{}' WHERE id IN (SELECT id FROM ratings WHERE turn_id = ?)",
    "DELETE FROM ratings WHERE turn_id = ? AND rating IS NULL",
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
    """One pass over the turns, a piece at a time, that finds and deletes unneeded shapes."""

    last: int = 0
    """Row number of the last turn looked at."""
    newest: int | None = None
    """Number of the newest shape when the pass began: later ones are left for the next."""
    used: set[int] | None = None
    unneeded: list[int] | None = None

    @property
    def looks(self) -> bool:
        """Whether there are turns left to look at: nothing is known of any shape before."""
        return self.unneeded is None

    def go_on(self, store: Store, *, turns: int = 1000, shapes: int = 10) -> bool:
        """Do a piece of the pass; False when it is over."""
        if self.newest is None or self.used is None:
            row = store.row("SELECT max(id) FROM shapes")
            self.newest, self.used = int(row[0] or 0) if row else 0, set()
        if self.unneeded is None:
            sql = "SELECT rowid FROM turns WHERE rowid > ? ORDER BY rowid LIMIT 1 OFFSET ?"
            end = store.row(sql, (self.last, turns - 1))
            self._look(store, self.used, None if end is None else int(end[0]))
            if end is not None:
                return True
        return self._delete(store, shapes)

    def _look(self, store: Store, used: set[int], end: int | None) -> None:
        """Note the shapes of the turns after the last one up to a row; to the newest if None."""
        sql = """
            SELECT DISTINCT shape FROM turns
            WHERE rowid > ? AND (?2 IS NULL OR rowid <= ?2) AND shape IS NOT NULL
        """
        for row in store.rows(sql, (self.last, end)):
            used.update(json.loads(row["shape"]).values())
        self.last = self.last if end is None else end

    def _delete(self, store: Store, limit: int) -> bool:
        if self.unneeded is None:
            found = store.rows("SELECT id FROM shapes WHERE id <= ? ORDER BY id", (self.newest,))
            self.unneeded = [row["id"] for row in found if row["id"] not in (self.used or ())]
        some, self.unneeded = self.unneeded[:limit], self.unneeded[limit:]
        with store.transaction():
            for shape in some:
                if shape not in (self.used or ()):  # a turn that came since may name it again
                    sql = """
                        DELETE FROM shapes WHERE id = ?1
                            AND NOT EXISTS (SELECT 1 FROM turns WHERE context_id = ?1)
                    """
                    store.execute(sql, (shape,))
        return bool(self.unneeded)
