"""The results of commands that were run in a project: evidence for the suggestions placed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qi_learn.records import CommandResult
from qi_learn.store.database import Store
from qi_learn.store.rows import columns, values

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

COMMAND_REACH = 7 * 86400.0
"""A command's result is evidence for suggestions placed at most this many seconds before it: the
last look at them is after 7 days (contracts 5).
"""


def save_command(store: Store, command: Redacted[CommandResult]) -> None:
    """Store the result of a command.

    It is joined to outcomes later (`outcome_evidence`), and marks the turns whose outcome changes.
    """
    store.insert("commands", columns(CommandResult), values(command.value))
