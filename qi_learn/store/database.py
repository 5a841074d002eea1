"""Opening the database: SQLite in WAL mode, written by one process, read by any.

The invariant: a `Store` is a sound database of this version's schema. Everything else is a
`StoreError` that says what to do, and nothing here ever deletes or overwrites a database: a damaged
one stays as it is, one from a newer version is not touched, one from an older version is copied
aside before it is migrated. With `synchronous = NORMAL` a killed process loses no commit. A power
cut may take back the last ones, which is why the spool's files are deleted only after a checkpoint
(`ingest`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_learn.errors import DiskFull, QiError, StoreError
from qi_learn.store.backups import copy_aside

if TYPE_CHECKING:
    from qi_learn.redact import Redactor

SCHEMA = 18
"""How many migrations `schema.py` has: the `user_version` of a database of this version."""

CHECKED_AT_ONCE = 100_000_000
"""The most bytes of a database that is looked through before it is opened: a quarter second."""
VALUE_ERRORS = (
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError),
)
"""SQLite's errors about one row's values: the database itself is sound."""

SAFE_SQLITE = (3, 51, 3)
"""The oldest safe version: older ones can corrupt a WAL database when two connections write or
checkpoint at the same instant (sqlite.org/wal.html, WAL-reset bug).
"""


class Store:
    """An open database.

    `rows`, `row` and `execute` raise StoreError (DiskFull if it is that) in place of SQLite's own
    errors.
    """

    def __init__(self, path: Path, conn: sqlite3.Connection, *, readonly: bool = False) -> None:
        self.path = path
        self.conn = conn
        self.readonly = readonly
        self.redactor: Redactor | None = None
        """That of its home, once something was written (own_redactor.py)."""

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.conn.close()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; returns how many rows it changed.

        Raises sqlite3.IntegrityError and the like if the values do not fit.
        """
        with _translated(self.path):
            return self.conn.execute(sql, values).rowcount

    def insert(
        self, table: str, columns: Sequence[str], values: Sequence[Any], *, replace: bool = False
    ) -> int:
        """Insert one row; returns 0 if its key is there already.

        With `replace` the old row's columns are overwritten then. Names are ours, never data.
        """
        return self.execute(_insertion(table, tuple(columns), replace), values)

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; a text that is no UTF-8 comes as its bytes."""
        with _translated(self.path):
            rows: list[sqlite3.Row] = self._read(lambda: self.conn.execute(sql, values).fetchall())
            return rows

    def row(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None; a text that is no UTF-8 comes as its bytes."""
        with _translated(self.path):
            row: sqlite3.Row | None = self._read(lambda: self.conn.execute(sql, values).fetchone())
            return row

    def stamp(self) -> tuple[int, int]:
        """What is another after every change, by this connection or any other (SQLite's word)."""
        found = self.row("PRAGMA data_version")
        return (int(found[0]) if found else 0, self.conn.total_changes)

    def _read(self, read: Callable[[], Any]) -> Any:
        """Read rows; if one has a damaged text, once more, so that it spoils no other."""
        try:
            return read()
        except sqlite3.OperationalError as error:
            if not str(error).startswith("Could not decode to UTF-8"):
                raise
        self.conn.text_factory = _text_or_bytes
        try:
            return read()
        finally:
            self.conn.text_factory = str

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block all or not at all; inside another transaction, as a part of that one."""
        if self.conn.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.conn.in_transaction:  # SQLite itself has rolled back after a full disk
                self.conn.execute("ROLLBACK")
            raise

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run a part of a transaction that may fail alone.

        An exception undoes only what was done inside.
        """
        self.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self.conn.in_transaction:
                self.conn.execute("ROLLBACK TO attempt")
                self.conn.execute("RELEASE attempt")
            raise
        self.execute("RELEASE attempt")

    def checkpoint(self) -> bool:
        """Bring what is committed into the database file and onto the disk.

        False if a reader is in the way. Then try again later.
        """
        row = self.row("PRAGMA wal_checkpoint(PASSIVE)")
        return row is not None and not row[0] and row[1] == row[2]


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


@cache
def _insertion(table: str, columns: tuple[str, ...], replace: bool) -> str:
    names = ", ".join(f'"{c}"' for c in columns)
    changes = "UPDATE SET " + ", ".join(f'"{c}" = excluded."{c}"' for c in columns)
    marks = ", ".join("?" * len(columns))
    conflict = changes if replace else "NOTHING"
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO {conflict}"


def open_store(path: Path, *, readonly: bool = False, timeout: float = 5.0) -> Store:
    """The database at `path`, open.

    For writing it is made if absent, checked, and brought up to this version's schema. One of more
    than `CHECKED_AT_ONCE` bytes is opened unchecked: that takes seconds (soundness.py).

    `timeout`: seconds to wait for another writer. Raises StoreError if it is absent (readonly),
    damaged, locked, or from another version.
    """
    return _open_to_read(path, timeout) if readonly else _open_to_write(path, timeout)


def _open_to_read(path: Path, timeout: float) -> Store:
    if not path.exists():
        raise StoreError(
            f"There is no database at {path} yet: nothing has been recorded.",
            "Start the daemon: `qi-learn daemon start`.",
        )
    with _translated(path):
        conn = _connect(path, "ro", timeout)
        with _closed_on_error(conn):
            version = _version(conn, path)
            if version < SCHEMA:
                what = (
                    f"The database {path} has the schema of an older version "
                    f"({version} of {SCHEMA})."
                )
                raise StoreError(what, "Start the daemon once: it brings it up to date.")
    return Store(path, conn, readonly=True)


def _open_to_write(path: Path, timeout: float) -> Store:
    _make_private(path)
    with _translated(path):
        conn = _connect(path, "rw", timeout)
        with _closed_on_error(conn):
            # first of all: a newer database is not even brought into WAL mode
            old = _version(conn, path) < SCHEMA
            _use_wal(conn, path)
            conn.execute("PRAGMA synchronous = NORMAL")
            conn.execute("PRAGMA secure_delete = ON")  # what goes is overwritten
            conn.execute("BEGIN IMMEDIATE")
            conn.execute("ROLLBACK")
            if path.stat().st_size <= CHECKED_AT_ONCE:
                _check(conn, path)
            if old:
                _migrate(conn, path)
            conn.execute("PRAGMA foreign_keys = ON")
    return Store(path, conn)


@contextmanager
def checking(path: Path) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """What looks the database at `path` through, and what breaks that off from another thread.

    The first raises StoreError if it is damaged, or was broken off.
    """
    with _translated(path):
        conn = _connect(path, "ro", 5.0)
    try:
        yield _translated(path)(lambda: _check(conn, path)), conn.interrupt
    finally:
        conn.close()


def _use_wal(conn: sqlite3.Connection, path: Path) -> None:
    """Bring the database into WAL mode, or refuse: its answer is the mode that it is in now."""
    if (mode := conn.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
        raise StoreError(
            f"The file system of {path} cannot hold this database: SQLite stays in its {mode} mode "
            "there, in which a reader stops the writer.",
            "Set QI_LEARN_HOME to a directory on this machine's own disk.",
        )


def _make_private(path: Path) -> None:
    """Make the directory 0700 and the file 0600 from its first byte on.

    SQLite gives `-wal` and `-shm` the mode of the file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        what = f"The database {path} cannot be made or opened for writing: {error}"
        raise StoreError(what, "Check who owns the directory, and that there is room.") from error


def _connect(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    conn.row_factory = sqlite3.Row
    return conn


def _check(conn: sqlite3.Connection, path: Path) -> None:
    result = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        raise _damaged(path, result)


def _version(conn: sqlite3.Connection, path: Path) -> int:
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA:
        what = (
            f"The database {path} was written by a newer qi-learn "
            f"(schema {version}, this one knows {SCHEMA})."
        )
        raise StoreError(what, "Upgrade qi-learn; nothing was changed.")
    return version


def _migrate(conn: sqlite3.Connection, path: Path) -> None:
    import sqlite_utils  # 0.2 s, which only a new or an old database costs

    from qi_learn.store.backfill import backfill
    from qi_learn.store.schema import migrations

    db = sqlite_utils.Database(conn)
    new = not conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    backup = path.with_name(f"{path.name}.schema-{version}.backup")
    # one that was stopped half way has its copy: what is there now is no longer as it was
    if not new and not (backup.exists() and len(migrations.applied(db)) > version):
        copy_aside(conn, backup)
    migrations.apply(db)
    backfill(conn)
    conn.execute(f"PRAGMA user_version = {SCHEMA}")


# --- SQLite's errors in our words -----------------------------------------------------------------


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the *file* into ours; the one edge that does.

    Those about values (IntegrityError and the like) pass.
    """
    try:
        yield
    except VALUE_ERRORS:
        raise
    except sqlite3.DatabaseError as error:
        raise _in_our_words(path, error) from error


def _in_our_words(path: Path, error: sqlite3.DatabaseError) -> QiError:
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        hint = (
            "Only the daemon writes it: stop the other process, or wait until it is done, "
            "and try again."
        )
        return StoreError(f"The database {path} is locked by another process.", hint)
    if code & 0xFF == sqlite3.SQLITE_FULL or code in (
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    ):
        return DiskFull(
            f"The database {path} cannot grow: {error}",
            "Make room on the disk. Nothing is lost: what was not written waits in the spool.",
        )
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    return StoreError(
        f"The database {path} cannot be used: {error}",
        "Check who owns it and its directory, and that the disk is healthy.",
    )


def _damaged(path: Path, how: str) -> StoreError:
    hint = (
        f"Nothing was deleted. Move {path.name} and its -wal and -shm files to another place and "
        "start the daemon again: it begins a new database, and what waits in the spool is taken "
        f"in. `sqlite3 {path.name} .recover` gets back what can be read; the live model and "
        "`qi-learn rollback` need no database."
    )
    return StoreError(f"The database {path} is damaged: {how}", hint)


@contextmanager
def _closed_on_error(conn: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        conn.close()
        raise


def library_version() -> tuple[str, bool]:
    """The version of the SQLite library, and whether it is new enough.

    That is for a WAL database with several connections.
    """
    return sqlite3.sqlite_version, sqlite3.sqlite_version_info >= SAFE_SQLITE
