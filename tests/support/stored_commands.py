"""The results of commands as a test of the store reads them back."""

from __future__ import annotations

from qi_learn.records import CommandResult
from qi_learn.store.database import Store
from qi_learn.store.rows import record


def commands_of(store: Store, project: str) -> tuple[CommandResult, ...]:
    """The commands that were run in a project, oldest first."""
    rows = store.rows("SELECT * FROM commands WHERE project = ? ORDER BY ts, id", (project,))
    return tuple(record(CommandResult, row) for row in rows)
