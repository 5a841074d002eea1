"""What is left of the lines of committed suggestions, and when they are counted again.

A row stays as long as its turn does. The invariant: whatever was committed has a row after one
look, so that nothing is looked at again and again.
"""

from __future__ import annotations

from qi_learn.records import Survival
from qi_learn.store.database import Store
from qi_learn.store.rows import columns, record, values

_NEW = """
    SELECT s.turn_id, s.ordinal FROM suggestions s
         LEFT JOIN survival v ON v.turn_id = s.turn_id AND v.ordinal = s.ordinal
    WHERE s.placed_at >= ? AND s.state = 'settled' AND s."commit" IS NOT NULL
          AND s.region IS NOT NULL AND NOT s.reverted AND v.turn_id IS NULL
    ORDER BY s.placed_at, s.turn_id, s.ordinal LIMIT ?
"""


def not_counted(store: Store, *, placed: float, limit: int) -> list[tuple[str, int]]:
    """Suggestions that were committed and of which nothing was counted, by turn and number.

    Those that were placed at `placed` or later, oldest first.
    """
    return [(row["turn_id"], row["ordinal"]) for row in store.rows(_NEW, (placed, limit))]


def due_survivals(store: Store, now: float, *, limit: int) -> tuple[Survival, ...]:
    """What is to be counted again by now, oldest first."""
    sql = "SELECT * FROM survival WHERE due <= ? ORDER BY due LIMIT ?"
    return tuple(record(Survival, row) for row in store.rows(sql, (now, limit)))


def next_survival(store: Store) -> float | None:
    """When something is to be counted again; None if nothing is."""
    row = store.row("SELECT min(due) AS due FROM survival WHERE due IS NOT NULL")
    return None if row is None or row["due"] is None else float(row["due"])


def survivals_of(store: Store, turn_id: str) -> dict[int, Survival]:
    """What is left of a turn's suggestions, by their number; of what was not committed nothing."""
    rows = store.rows("SELECT * FROM survival WHERE turn_id = ?", (turn_id,))
    return {row["ordinal"]: record(Survival, row) for row in rows}


def save_survivals(store: Store, survivals: list[Survival]) -> None:
    """Store what was counted; of a turn that is gone nothing is kept."""
    names = columns(Survival)
    listed, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    sql = (
        f"INSERT OR REPLACE INTO survival ({listed}) SELECT {marks} "
        "WHERE EXISTS (SELECT 1 FROM turns WHERE id = ?)"
    )
    with store.transaction():
        for each in survivals:
            store.execute(sql, (*values(each), each.turn_id))
