"""What a home knows of turns, as rows to compare: all but what is only of this database."""

from __future__ import annotations

import json
from typing import Any

from qi_learn.dataset.select import judged
from qi_learn.store.candidates import save_candidates, unjudged
from qi_learn.store.database import Store
from qi_learn.store.shapes import join_request, load_shape

_OWN = {
    "turns": ("came", "shape", "context_id", "request", "learning_type", "complexity", "domain"),
    "messages": ("came",),
    "ratings": ("asked", "project", "known"),
    "scores": ("judged",),
}
"""By table: columns that are numbers of this database's own, or found out by its daemon."""
TABLES = (
    *("messages", "suggestions", "ratings", "feedback", "outcomes", "scores", "answer_facts"),
    *("commands", "turns", "survival"),
)


def kept_rows(store: Store) -> dict[str, list[str]]:
    """The rows of the tables of evidence."""
    found = {}
    for table in TABLES:
        left_out = (*_OWN.get(table, ()), "tools" if table == "turns" else "")
        rows = (dict(row) for row in store.rows(f"SELECT * FROM {table}"))
        found[table] = sorted(
            json.dumps({k: v for k, v in row.items() if k not in left_out}, sort_keys=True)
            for row in rows
        )
    found["shapes"] = sorted(_shapes_of(store, row) for row in store.rows("SELECT * FROM turns"))
    return found


def _shapes_of(store: Store, row: Any) -> str:
    context = row["context_id"]
    request = join_request(store.conn, row["request"], row["shape"])
    said = None if context is None else load_shape(store.conn, context)
    return json.dumps([row["id"], request, said], sort_keys=True)


def candidates(store: Store, threshold: float) -> list[dict[str, Any]]:
    """The turns that may be examples, or why not, after the daemon has looked at all of them."""
    while waiting := unjudged(store, threshold=threshold, limit=100):
        save_candidates(store, [judged(turn) for turn in waiting])
    return [dict(row) for row in store.rows("SELECT * FROM candidates ORDER BY turn_id")]
