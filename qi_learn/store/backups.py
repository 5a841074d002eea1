"""The copy of a database that is made before its schema changes, and its end."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

BACKUP_SECONDS = 30 * 86400.0
"""Seconds for which the copy of a database is kept that was made before its schema changed."""


def copy_aside(conn: sqlite3.Connection, backup: Path) -> None:
    """Write the database as it was, complete or not there at all."""
    temp = backup.with_name(f".{backup.name}.tmp")
    temp.unlink(missing_ok=True)
    os.close(os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    copy = sqlite3.connect(temp)
    try:
        conn.backup(copy)
    finally:
        copy.close()
    temp.replace(backup)


def expire_backups(path: Path, now: float) -> None:
    """Delete the copies of an older schema after `BACKUP_SECONDS`: they hold what was forgotten.

    Raises OSError if one cannot be deleted.
    """
    for backup in path.parent.glob(f"{path.name}.schema-*.backup"):
        if backup.stat().st_mtime < now - BACKUP_SECONDS:
            backup.unlink()
