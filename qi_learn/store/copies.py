"""A whole copy of the database through SQLite's own backup, also while it is written."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.store.database import SCHEMA


def copy_database(source: Path, target: Path) -> None:
    """Write a copy of the database as it is at one instant; the writer is not held up.

    All pages in one step: a copy in pieces begins anew each time the writer has committed. Raises
    StoreError if it cannot be read or written.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        one = sqlite3.connect(_address(source), uri=True, timeout=30.0)
        two = sqlite3.connect(target)
        try:
            one.backup(two)
            two.execute("PRAGMA journal_mode = DELETE")
        finally:
            two.close()
            one.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"The database {source} cannot be copied: {error}",
            "Make room, and see `qi-learn doctor`.",
        ) from error


def _address(source: Path) -> str:
    """How SQLite is to open the database to read it.

    On a read-only file system it could make no index of a WAL; there nobody writes, so without a
    WAL the file is all there is.
    """
    address = f"{source.absolute().as_uri()}?mode=ro"
    wal = source.with_name(f"{source.name}-wal")
    fixed = os.statvfs(source).f_flag & os.ST_RDONLY and not (wal.exists() and wal.stat().st_size)
    return f"{address}&immutable=1" if fixed else address


def check_copy(path: Path) -> int:
    """The schema of a copy, which is sound. Raises StoreError if it is damaged or newer than us."""
    try:
        conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            found = str(conn.execute("PRAGMA quick_check(1)").fetchone()[0])
            schema = int(conn.execute("PRAGMA user_version").fetchone()[0])
        finally:
            conn.close()
    except sqlite3.Error as error:
        raise StoreError(f"The database in it cannot be read: {error}", "Take another.") from error
    if found != "ok":
        raise StoreError(f"The database in it is damaged: {found}", "Take another.")
    if schema > SCHEMA:
        raise StoreError(
            f"It was made by a newer qi-learn (schema {schema}, this one knows {SCHEMA}).",
            "Upgrade qi-learn first; nothing was changed.",
        )
    return schema


def turns_in_copy(path: Path) -> int:
    """The number of turns in a copy."""
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return int(conn.execute("SELECT count(*) FROM turns").fetchone()[0])
    finally:
        conn.close()
