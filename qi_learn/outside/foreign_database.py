"""Another program's SQLite database, looked at while that program uses it.

The invariant: it is opened to read only, and read in one transaction, so what is read is of one
moment; nothing is written, not even a lock that would keep its owner waiting beyond SQLite's own.
Not `immutable`: a database that is being written would be read wrong. But for one that nobody has
open, in a directory that cannot be written: SQLite would have to put a file beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.errors import NotFound

BUSY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ForeignDatabase:
    """One moment of another program's database."""

    path: Path
    _conn: sqlite3.Connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of a question. Raises NotFound if it cannot be answered."""
        try:
            return self._conn.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from error

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; empty if there is no such table."""
        return frozenset(row["name"] for row in self.rows(f'PRAGMA table_info("{table}")'))


@contextmanager
def foreign_database(path: Path) -> Iterator[ForeignDatabase]:
    """Open a database to read. Raises NotFound if there is none, or it cannot be read."""
    if not path.is_file():
        raise NotFound(f"There is no database {path}.", "Check the path.")
    try:
        conn = _begun(path, "mode=ro")
    except sqlite3.Error as error:
        if not _lies_still(path):
            raise _unreadable(path, error) from error
        try:
            conn = _begun(path, "mode=ro&immutable=1")
        except sqlite3.Error as again:
            raise _unreadable(path, again) from error
    with closing(conn):
        yield ForeignDatabase(path, conn)


def _begun(path: Path, how: str) -> sqlite3.Connection:
    """A connection in whose transaction everything is of one moment."""
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS)
    try:
        conn.row_factory = sqlite3.Row
        conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
        conn.execute("BEGIN")
        conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        conn.close()
        raise
    return conn


def _lies_still(path: Path) -> bool:
    """Whether nobody has a database open, and nothing can be put beside it."""
    real = path.resolve()
    beside = (real.with_name(real.name + end) for end in ("-wal", "-shm", "-journal"))
    return not any(map(os.path.lexists, beside)) and not os.access(real.parent, os.W_OK)


def _unreadable(path: Path, error: sqlite3.Error) -> NotFound:
    return NotFound(
        f"The database {path} cannot be read: {error}.",
        "Is it that program's own database? If it is locked, try again in a moment.",
    )
