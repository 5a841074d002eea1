"""The recent past carried over to a clock that was set: an age stays the age that it was.

A clock that is set back by two hours puts the last answers into the future, where no save comes
after them; one that is set ahead makes them too old at once. So what still waits is moved with the
clock: the answers of the last `window` and those in the future, and what is open of any answer.
What is settled and older stays as it was told.
"""

from __future__ import annotations

from qi_learn.store.database import Store
from qi_learn.store.working_time import STEP


def carry_over(store: Store, jump: float, *, before: float, window: float) -> int:
    """Move what is open by `jump` seconds; returns how many answers were moved.

    `before`: the time by the old clock when it was set.
    """
    first = min(before - window, before + jump)
    with store.transaction():
        moved = store.execute(
            "UPDATE turns SET started = started + ?1, ended = ended + ?1 WHERE ended >= ?2",
            (jump, first),
        )
        store.execute(
            "UPDATE suggestions SET touched_at = touched_at + ?1, placed_at = placed_at + ?1, "
            "since = since + ?1 WHERE state = 'placed' AND since IS NOT NULL",
            (jump,),
        )
        store.execute(
            "UPDATE suggestions SET touched_at = touched_at + ?1, "
            "since = (SELECT ended FROM turns WHERE id = turn_id) "
            "WHERE state = 'waiting' AND since IS NOT NULL",
            (jump,),
        )
        _move_saves(store, jump, first)
    return moved


def _move_saves(store: Store, jump: float, first: float) -> None:
    sql = "SELECT at FROM saves WHERE at >= ?"
    moved = [int(row["at"]) for row in store.rows(sql, (int(first // STEP),))]
    store.execute("DELETE FROM saves WHERE at >= ?", (int(first // STEP),))
    for at in moved:
        values = (at + round(jump / STEP),)
        store.execute("INSERT OR IGNORE INTO saves VALUES (?)", values)


def newest_end(store: Store) -> float | None:
    """When the newest answer ended; None if there is none."""
    row = store.row("SELECT max(ended) FROM turns")
    return None if row is None else row[0]
