"""Commands that were not joined to outcomes yet, and what joining them needs, in few columns.

The invariant: a command is marked as joined in the transaction that stores what follows from it. So
one that came while the daemon was being killed is joined by the next.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from qi_learn.store.database import Store

_PLACED = """
    SELECT s.turn_id, s.placed_at, coalesce(s.touched_at, 0) AS touched_at
    FROM {tables} JOIN turns t ON t.id = s.turn_id
    WHERE t.project = ? AND s.placed_at IS NOT NULL AND {which} AND s.region IS NOT NULL
          AND NOT s.reverted AND s.state IN ('placed', 'settled')
    ORDER BY s.placed_at, s.turn_id, s.ordinal
"""


class NewCommand(NamedTuple):
    """A command whose result was not joined yet."""

    id: str
    project: str
    ts: float


class PlacedSuggestion(NamedTuple):
    """A suggestion that stands in a file."""

    turn_id: str
    placed_at: float
    touched_at: float


class CommandRun(NamedTuple):
    """One run of a command."""

    kind: str
    command: str
    ts: float
    seconds: float
    exit_code: int
    value: float | None


def new_commands(store: Store, *, held: Collection[str] = ()) -> list[NewCommand]:
    """The commands that were not joined yet, oldest first, but for those of the projects `held`."""
    sql = """
        SELECT id, project, ts FROM commands
        WHERE NOT joined AND project NOT IN (SELECT value FROM json_each(?)) ORDER BY ts, id
    """
    return [NewCommand(*row) for row in store.rows(sql, (json.dumps(sorted(held)),))]


def mark_joined(store: Store, ids: Iterable[str]) -> None:
    """Mark commands as joined."""
    with store.transaction():
        for id in ids:
            store.execute("UPDATE commands SET joined = 1 WHERE id = ?", (id,))


def placed_between(store: Store, project: str, first: float, last: float) -> list[PlacedSuggestion]:
    """What stands in a project's files and was placed between two times, oldest first."""
    sql = _PLACED.format(tables="suggestions s", which="s.placed_at BETWEEN ? AND ?")
    return [PlacedSuggestion(*row) for row in store.rows(sql, (project, first, last))]


def placed_of(store: Store, project: str, turn_ids: Sequence[str]) -> list[PlacedSuggestion]:
    """What stands in a project's files of some turns, oldest first."""
    tables = "json_each(?) j JOIN suggestions s ON s.turn_id = j.value"
    sql = _PLACED.format(tables=tables, which="true")
    ids = json.dumps(list(turn_ids))
    return [PlacedSuggestion(*row) for row in store.rows(sql, (ids, project))]


def runs_since(store: Store, project: str, since: float) -> list[CommandRun]:
    """The runs of a project's commands that may say something, oldest first."""
    sql = """
        SELECT kind, command, ts, seconds, exit_code, value FROM commands
        WHERE project = ? AND ts >= ? AND kind != 'other' ORDER BY ts, id
    """
    return [CommandRun(*row) for row in store.rows(sql, (project, since))]
