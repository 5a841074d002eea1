"""Commands that were not joined to outcomes yet, and what joining them needs, in few columns.

The invariant: a command is marked as joined in the transaction that stores what follows from it. So
one that came while the daemon was being killed is joined by the next.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from qi_learn.store.database import Store

_PLACED = """
    SELECT s.turn_id, s.ordinal, s.placed_at, coalesce(s.touched_at, 0) AS touched_at, t.project,
           s.file, s.region
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
    ordinal: int
    placed_at: float
    touched_at: float
    project: str
    file: str | None
    region: str

    @property
    def path(self) -> str:
        """The file in which it stands."""
        return os.path.normpath(os.path.join(self.project, self.file or ""))


class CommandRun(NamedTuple):
    """One run of a command: the fields of `records.CommandResult` that are evidence."""

    kind: str
    command: str
    ts: float
    seconds: float
    exit_code: int
    value: float | None = None
    cwd: str | None = None
    failed: int | None = None
    passed: int | None = None
    interrupted: bool | None = None
    tests: frozenset[str] | None = None
    loaded: frozenset[str] | None = None
    failing: frozenset[str] | None = None
    id: str = ""

    @property
    def began(self) -> float:
        """When it began."""
        return self.ts - self.seconds


class Unseen(NamedTuple):
    """A suggestion of which a command says that none of its lines ran."""

    command_id: str
    turn_id: str
    ordinal: int


RanLines = tuple[list[int], list[int] | None]
"""Ranges of lines that a command ran, and that it did not; None if it was not told."""


class Coverage(NamedTuple):
    """The lines that a command ran, as it was told."""

    command_id: str
    began: float
    cwd: str
    files: dict[str, RanLines]
    """By file as the command saw it."""


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
            sql = "UPDATE commands SET joined = 1, covered = NULL WHERE id = ?"
            store.execute(sql, (id,))


def coverage_of(store: Store, ids: Sequence[str]) -> list[Coverage]:
    """What of the commands is known to have run; a report that is damaged says nothing."""
    sql = """
        SELECT id, ts - seconds AS began, cwd, covered FROM commands
        WHERE id IN (SELECT value FROM json_each(?)) AND covered IS NOT NULL AND cwd IS NOT NULL
    """
    found = []
    for row in store.rows(sql, (json.dumps(list(ids)),)):
        try:
            files = {str(name): (ran, missed) for name, ran, missed in json.loads(row["covered"])}
        except (ValueError, TypeError):
            continue
        found.append(Coverage(row["id"], row["began"], row["cwd"], files))
    return found


def mark_unseen(store: Store, unseen: Iterable[Unseen]) -> None:
    """Store of which suggestions commands did not run any line; nothing of what is gone."""
    sql = """
        INSERT OR IGNORE INTO unseen SELECT ?1, ?2, ?3
        WHERE EXISTS (SELECT 1 FROM commands WHERE id = ?1)
              AND EXISTS (SELECT 1 FROM turns WHERE id = ?2)
    """
    with store.transaction():
        for each in unseen:
            store.execute(sql, each)


def unseen_of(store: Store, turn_ids: Sequence[str]) -> frozenset[Unseen]:
    """What commands did not run of some turns."""
    sql = """
        SELECT command_id, turn_id, ordinal FROM unseen
        WHERE turn_id IN (SELECT value FROM json_each(?))
    """
    return frozenset(Unseen(*row) for row in store.rows(sql, (json.dumps(list(turn_ids)),)))


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
    sql = f"""
        SELECT {", ".join(CommandRun._fields)} FROM commands
        WHERE project = ? AND ts >= ? AND kind != 'other' ORDER BY ts, id
    """
    return [_run(row) for row in store.rows(sql, (project, since))]


def _run(row: sqlite3.Row) -> CommandRun:
    """A row as a run: what is damaged in it is unknown."""
    return CommandRun(*row)._replace(
        tests=_names(row["tests"]), loaded=_names(row["loaded"]), failing=_names(row["failing"])
    )


def _names(column: object) -> frozenset[str] | None:
    if not isinstance(column, str):
        return None
    try:
        return frozenset(map(str, json.loads(column)))
    except (ValueError, TypeError):
        return None
