"""Rows that were stored before a kind of secret was known, looked through again.

Slice by slice, each a transaction that leaves a sound database, so it may be killed anywhere and is
begun again. A turn of which something was taken is marked: it is scored anew, and a text with a
placeholder is never learned. In the end the file is to be written anew (`forget.compact`), so that
what went stands in no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qi_learn.redact import Redactor
from qi_learn.store.database import Store
from qi_learn.store.redact_chains import redact_messages
from qi_learn.store.redact_columns import CHANGED, clean_json, clean_text
from qi_learn.store.redact_journal import redact_journal
from qi_learn.store.redact_shapes import redact_shapes

SLICE = 50
"""Rows of one transaction."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table and its columns with texts; `turn` is the column that names the turn of a row."""

    name: str
    texts: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    turn: str | None = None


TABLES = (
    TextTable(
        "turns",
        ("model_asked", "model_answered", "done_reason", "session", "client"),
        ("options", "request", "context", "tools"),
        "id",
    ),
    TextTable(
        "suggestions",
        (
            *("text", "language", "name", "region", "final_text", "match_method", "path", "old"),
            *("call", "lead", "trail"),
        ),
        ("before", "after", "head"),
        "turn_id",
    ),
    TextTable("feedback", ("final_version", "correction", "match_method"), (), "turn_id"),
    TextTable("ratings", ("asked", "correction", "comment", "match_method"), (), "turn_id"),
    TextTable("scores", ("target_text",), ("signals", "target_reasons"), "turn_id"),
    TextTable("commands", ("command",), ("tests", "loaded", "failing", "covered")),
    TextTable("events", ("source",), ("body",)),
    TextTable("runs", ("reason",), ("plan", "train", "verdict")),
    TextTable("releases", ("model", "adapter")),
    TextTable("moves", ("alias",)),
)


def redact_rows(store: Store, redactor: Redactor, now: float) -> Iterator[Counter[str]]:
    """Look through everything; after each slice, how many rows were rewritten, by table."""
    yield from redact_messages(store, redactor, SLICE)
    yield from redact_shapes(store, redactor, SLICE)
    for table in TABLES:
        yield from _redact_table(store, redactor, table)
    yield redact_journal(store, redactor, now)


def _redact_table(store: Store, redactor: Redactor, table: TextTable) -> Iterator[Counter[str]]:
    columns = (*table.texts, *table.json)
    listed = ", ".join(f'"{name}"' for name in columns)
    turn = table.turn or "NULL"
    sql = f"""
        SELECT rowid, {turn} AS turn, {listed} FROM {table.name}
        WHERE rowid > ? ORDER BY rowid LIMIT ?
    """
    last = -1
    while rows := store.rows(sql, (last, SLICE)):
        done: Counter[str] = Counter()
        with store.transaction():
            for row in rows:
                changes = _changes(row, table, redactor)
                if changes:
                    _rewrite(store, table, row, changes)
                    done[table.name] += 1
        last = rows[-1]["rowid"]
        yield done


def _changes(row: Any, table: TextTable, redactor: Redactor) -> dict[str, str]:
    new = {name: clean_text(redactor, row[name]) for name in table.texts}
    new |= {name: clean_json(redactor, row[name]) for name in table.json}
    return {name: text for name, text in new.items() if text is not None and text != row[name]}


def _rewrite(store: Store, table: TextTable, row: Any, changes: dict[str, str]) -> None:
    marks = ", ".join(f'"{name}" = ?' for name in changes)
    store.execute(
        f"UPDATE {table.name} SET {marks} WHERE rowid = ?", (*changes.values(), row["rowid"])
    )
    if row["turn"] is not None:
        store.execute(f"UPDATE turns SET {CHANGED} WHERE id = ?", (row["turn"],))
