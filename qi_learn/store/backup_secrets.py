"""Copies of an older schema that hold a secret of a kind that is known now: they are removed.

Such a copy is there for a month, to go back to an older version with; its tables are those of that
version, so it is not rewritten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from qi_learn.redact import Redactor

PIECE = 200_000
"""Characters that are looked through at once."""


def remove_backups_with_secrets(
    database: Path, redactor: Redactor
) -> Generator[None, None, tuple[str, ...]]:
    """Remove them, bit by bit; returns their names. Raises OSError if one cannot be removed."""
    gone = []
    for backup in sorted(database.parent.glob(f"{database.name}.schema-*.backup")):
        try:
            holds = yield from any_secret(_texts(backup), redactor)
        except sqlite3.DatabaseError:
            holds = True  # what is damaged cannot be searched, nor gone back to
        if holds:
            backup.unlink()
            gone.append(backup.name)
    return tuple(gone)


def any_secret(texts: Iterable[str], redactor: Redactor) -> Generator[None, None, bool]:
    """Look whether one of the texts holds a secret, bit by bit; returns whether one does."""
    length = 0
    for text in texts:
        if redactor.text(text) != text:
            return True
        length += len(text)
        if length > PIECE:
            length = 0
            yield
    return False


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
