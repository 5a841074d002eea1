"""What requests share, looked through again: a value that changes has another hash."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator

from qi_learn.redact import Redactor
from qi_learn.store.database import Store
from qi_learn.store.redact_columns import CHANGED, clean_json


def redact_shapes(store: Store, redactor: Redactor, at_once: int) -> Iterator[Counter[str]]:
    """Look through all shared values; after each slice, how many were rewritten."""
    last = -1
    sql = "SELECT id, value FROM shapes WHERE id > ? ORDER BY id LIMIT ?"
    while rows := store.rows(sql, (last, at_once)):
        done: Counter[str] = Counter()
        with store.transaction():
            for row in rows:
                clean = clean_json(redactor, row["value"])
                if clean != row["value"]:
                    _rewrite(store, row["id"], clean)
                    done["shapes"] += 1
        last = rows[-1]["id"]
        yield done


def _rewrite(store: Store, number: int, text: str) -> None:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    same = store.row("SELECT id FROM shapes WHERE hash = ?", (digest,))
    turns = _turns_of(store, number)
    if same is None:
        store.execute("UPDATE shapes SET hash = ?, value = ? WHERE id = ?", (digest, text, number))
    else:  # two that differed in the secret alone
        _refer(store, turns, number, same["id"])
        store.execute("DELETE FROM shapes WHERE id = ?", (number,))
    for turn in turns:
        store.execute(f"UPDATE turns SET {CHANGED} WHERE id = ?", (turn,))


def _turns_of(store: Store, number: int) -> list[str]:
    sql = """
        SELECT id FROM turns WHERE context_id = ?1
            OR EXISTS (SELECT 1 FROM json_each(turns.shape) WHERE value = ?1)
    """
    return [row["id"] for row in store.rows(sql, (number,))]


def _refer(store: Store, turns: list[str], old: int, new: int) -> None:
    """Let turns refer to another shared value."""
    for turn in turns:
        row = store.row("SELECT shape, context_id FROM turns WHERE id = ?", (turn,))
        if row is None:
            continue
        shape = json.loads(row["shape"]) if row["shape"] else {}
        moved = {name: new if number == old else number for name, number in shape.items()}
        context = new if row["context_id"] == old else row["context_id"]
        store.execute(
            "UPDATE turns SET shape = ?, context_id = ? WHERE id = ?",
            (json.dumps(moved, separators=(",", ":")) if moved else None, context, turn),
        )
