"""Copies of an older schema that hold a secret of a kind that is known now: they are removed.

Such a copy is there for a month, to go back to an older version with; its tables are those of that
version, so it is not rewritten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from qi_learn.redact import Redactor


def remove_backups_with_secrets(database: Path, redactor: Redactor) -> tuple[str, ...]:
    """Remove them; their names. Raises OSError if one cannot be removed."""
    gone = []
    for backup in sorted(database.parent.glob(f"{database.name}.schema-*.backup")):
        if any(redactor.text(text) != text for text in _texts(backup)):
            backup.unlink()
            gone.append(backup.name)
    return tuple(gone)


def _texts(backup: Path) -> Iterator[str]:
    """Every text in a database."""
    conn = sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)
    conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        tables = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in conn.execute(f'SELECT * FROM "{table}"'):
                yield from (value for value in row if isinstance(value, str))
    finally:
        conn.close()
