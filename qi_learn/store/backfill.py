"""Rows of an older schema brought into the newer form, in batches.

A migration is one transaction, so it may only do what is quick for any number of rows. The rest is
done here: each batch is a transaction that also says how far it came (`backfill.done`), so that a
process killed in the middle goes on behind its last batch, and no batch needs much memory or disk.
The database counts as migrated only when all of it is done.
"""

from __future__ import annotations

import json
import sqlite3

from qi_learn.store.older_fates import name_fates
from qi_learn.store.shapes import ensure_shape, split_request

BATCH = 500
"""Rows in one transaction."""


def backfill(conn: sqlite3.Connection) -> None:
    """Do what the migrations left to do; nothing if that was done."""
    for name, step in (("shapes", _share_shapes), ("fates", _name_fates)):
        sql = "SELECT done FROM backfill WHERE name = ?"
        while row := conn.execute(sql, (name,)).fetchone():
            conn.execute("BEGIN IMMEDIATE")
            try:
                _go_on(conn, name, step(conn, int(row[0])))
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise
            conn.execute("COMMIT")


def _go_on(conn: sqlite3.Connection, name: str, done: int | None) -> None:
    """Note how far it is; None is the end."""
    if done is None:
        conn.execute("DELETE FROM backfill WHERE name = ?", (name,))
    else:
        conn.execute("UPDATE backfill SET done = ? WHERE name = ?", (done, name))


def _share_shapes(conn: sqlite3.Connection, done: int) -> int | None:
    """Store apart what the next turns behind row `done` share with others; the last row."""
    rows = conn.execute(
        "SELECT rowid, request, context FROM turns WHERE rowid > ? ORDER BY rowid LIMIT ?",
        (done, BATCH),
    ).fetchall()
    for number, request, context in rows:
        own, shared = split_request(conn, json.loads(request)) if request else (None, None)
        shape = ensure_shape(conn, context) if context else None
        if request or context:
            conn.execute(
                "UPDATE turns SET request = ?, shape = ?, context = NULL, context_id = ? "
                "WHERE rowid = ?",
                (own, shared, shape, number),
            )
    return rows[-1][0] if rows else None


def _name_fates(conn: sqlite3.Connection, done: int) -> int | None:
    """Name what became of the suggestions of the next turns behind row `done`; the last row."""
    rows = conn.execute(
        "SELECT rowid, id FROM turns WHERE rowid > ? ORDER BY rowid LIMIT ?", (done, BATCH)
    ).fetchall()
    for _, turn in rows:
        name_fates(conn, turn)
    return rows[-1][0] if rows else None
