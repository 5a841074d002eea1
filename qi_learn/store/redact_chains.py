"""Messages looked through again: one that changes has another hash, and so has all that follows it.

The invariant: after each transaction every hash is that of its message, and every turn refers to
messages that are there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from qi_learn.records import Message
from qi_learn.redact import Redactor
from qi_learn.store.database import Store
from qi_learn.store.redact_columns import CHANGED, readable
from qi_learn.store.tombstones import Tombstones
from qi_learn.store.turns import ensure_chain


def redact_messages(store: Store, redactor: Redactor, at_once: int) -> Iterator[Counter[str]]:
    """Look through all messages; after each slice, how many were rewritten."""
    tombstones = Tombstones(store)
    last = -1
    sql = "SELECT rowid, * FROM messages WHERE rowid > ? ORDER BY rowid LIMIT ?"
    while rows := store.rows(sql, (last, at_once)):
        done: Counter[str] = Counter()
        for row in rows:
            message = _message(row)
            if redactor.clean(message).value != message:
                with store.transaction():
                    done["messages"] += _move(store, redactor, tombstones, row["hash"])
        last = rows[-1]["rowid"]
        yield done


def _move(store: Store, redactor: Redactor, tombstones: Tombstones, changed: str) -> int:
    """Store a message and all below it anew, and let the turns refer to those; how many changed."""
    old = store.row("SELECT parent FROM messages WHERE hash = ?", (changed,))
    if old is None:
        return 0  # it went with one above it
    waiting = [(changed, old["parent"] or "")]
    gone: list[str] = []
    count = 0
    while waiting:
        own, parent = waiting.pop()
        row = store.row("SELECT * FROM messages WHERE hash = ?", (own,))
        if row is None:
            continue
        message = _message(row)
        clean = redactor.clean(message).value
        count += clean != message
        came = row["came"] or tombstones.mark_of_message(own)
        new = ensure_chain(store, [clean], parent=parent, marks=[came])
        gone.append(own)
        for column in ("tip", "answer"):
            store.execute(
                f"UPDATE turns SET {column} = ?, {CHANGED} WHERE {column} = ?",
                (new, own),
            )
        below = store.rows("SELECT hash FROM messages WHERE parent = ?", (own,))
        waiting += [(each["hash"], new) for each in below]
    for own in reversed(gone):
        store.execute("DELETE FROM messages WHERE hash = ?", (own,))
    return count


def _message(row: Any) -> Message:
    """The message of a row, also of a damaged one."""
    extra = {}
    with suppress(ValueError):
        extra = json.loads(readable(row["extra"]) or "{}")
    return Message(readable(row["role"]), readable(row["content"]), extra)
