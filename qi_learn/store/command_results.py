"""The results of commands that were run in a project: evidence for the suggestions placed in it."""

from __future__ import annotations

from qi_learn.records import CommandResult
from qi_learn.store.database import Store
from qi_learn.store.rows import columns, record, values

COMMAND_REACH = 7 * 86400.0
"""A command's result is evidence for suggestions placed at most this many seconds before it: the
last look at them is after 7 days (contracts 5).
"""


def save_command(store: Store, command: CommandResult) -> None:
    """Store the result of a command, and mark the turns it may be evidence for.

    Those are all with a suggestion that may stand in what the command ran over.
    """
    sql = """
        UPDATE turns SET dirty = 1 WHERE project = ? AND id IN (
            SELECT turn_id FROM suggestions WHERE placed_at BETWEEN ? AND ?
        )
    """
    with store.transaction():
        store.insert("commands", columns(CommandResult), values(command))
        store.execute(sql, (command.project, command.ts - COMMAND_REACH, command.ts))


def commands_of(store: Store, project: str, *, since: float = 0.0) -> tuple[CommandResult, ...]:
    """The commands that were run in a project, oldest first."""
    rows = store.rows(
        "SELECT * FROM commands WHERE project = ? AND ts >= ? ORDER BY ts, id", (project, since)
    )
    return tuple(record(CommandResult, row) for row in rows)
