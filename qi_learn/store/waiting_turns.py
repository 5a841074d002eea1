"""Answers that were recorded and are not in the database yet: what the spool still holds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qi_learn.spool import spool_files
from qi_learn.store.database import Store
from qi_learn.store.spool_positions import head_of, position

_SIGN = b'"kind":"turn"'
"""Stands in the frame of a turn, and cannot stand in a text within it: quotes have a stroke there.
"""


def count_waiting(store: Store | None, spool: Path) -> int:
    """How many turns wait; quicker than to read them, as days of work may."""
    total = 0
    for file in spool_files(spool):
        with suppress(FileNotFoundError), file.open("rb") as lines:
            lines.seek(_taken_in(store, file))
            total += sum(_SIGN in line[:300] for line in lines)
    return total


def _taken_in(store: Store | None, file: Path) -> int:
    """Up to which byte a file is in the database."""
    return 0 if store is None else position(store, file, head_of(file))[0]
