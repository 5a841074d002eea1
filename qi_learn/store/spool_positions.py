"""How far each file of the spool is taken in, and when it may go.

The position of a file is written with the rows it gave (`ingest`), under its name and its first
line: a process number comes again, and with it a shell's file. A file goes when all of it is in the
database, a checkpoint has put that on the disk, and nothing will write to it any more. While its
producer lives it is made to open another one (`spool.retire`) once the file has been here for
`RETIRE_AFTER` seconds, so that what was said in the clear is not on the disk for long.

Seconds are those of a clock that never jumps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from qi_learn.errors import DiskFull
from qi_learn.paths import sync_directory
from qi_learn.spool import LEFT, finished, retire
from qi_learn.store.database import Store

RETIRE_AFTER = 30.0
"""Seconds after which a file that has something in it is retired."""
LEFT_FOR = 5.0
"""Seconds for which a shell's file is read on after it was renamed."""
HEAD_BYTES = 256
"""As much of its first line makes a file known."""

Monotonic = Callable[[], float]


class SpoolFiles:
    """The files of one spool as this process has seen them."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: dict[str, float] = {}
        self._at_end: dict[str, tuple[int, ...]] = {}

    def see(self, files: Sequence[Path]) -> None:
        """Note which files there are now."""
        now = self._monotonic()
        names = {path.name for path in files}
        self._since = {name: self._since.get(name, now) for name in names}
        self._at_end = {name: end for name, end in self._at_end.items() if name in names}

    def unchanged(self, path: Path) -> bool:
        """Whether the file is the one that was read to its end, and nothing came since."""
        return self._at_end.get(path.name) == _stamp(path.stat())

    def at_end(self, path: Path, before: os.stat_result, offset: int) -> None:
        """Note that the file is taken in up to here; `before`: its state before it was read."""
        if offset == before.st_size:
            self._at_end[path.name] = _stamp(before)

    def over(self, path: Path) -> bool:
        """Whether nothing will be written to the file any more; it is retired if it is time.

        Ask before reading it to the end.
        """
        age = self._monotonic() - self._since.get(path.name, self._monotonic())
        if path.name.endswith(LEFT):
            return age >= LEFT_FOR
        if finished(path):
            return True
        if age >= RETIRE_AFTER and path.stat().st_size:
            with contextlib.suppress(FileNotFoundError):
                if retire(path):
                    self._since.pop(path.name, None)
                    return path.exists()
        return False

    def seconds_left(self) -> float | None:
        """Seconds until a file is to be retired or deleted; None if there is none."""
        now = self._monotonic()
        waits = (
            since + (LEFT_FOR if name.endswith(LEFT) else RETIRE_AFTER) - now
            for name, since in self._since.items()
        )
        return max(0.0, min(waits)) if self._since else None


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes with a file; its number alone comes again for the next one."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def head_of(path: Path) -> str:
    """What makes a file known: the hash of the beginning of its first line; "" without one."""
    with path.open("rb") as file:
        line = file.readline(HEAD_BYTES)
    if not line.endswith(b"\n") and len(line) < HEAD_BYTES:
        return ""
    import hashlib  # OpenSSL: with nothing in the spool none is needed

    return hashlib.sha256(line).hexdigest()[:32]


def position(store: Store, path: Path, head: str) -> tuple[int, int]:
    """How far a file is taken in, and how long its file of bad lines is (bytes).

    A row without a head was written before files were known by it.
    """
    sql = """
        SELECT offset, bad_bytes FROM spool_positions WHERE name = ? AND head IN (?, '')
        ORDER BY head DESC LIMIT 1
    """
    row = store.row(sql, (path.name.removesuffix(LEFT), head))
    if row is None:
        return 0, 0
    return (row["offset"] if row["offset"] <= path.stat().st_size else 0), row["bad_bytes"]


def save_position(store: Store, path: Path, head: str, offset: int, bad_bytes: int) -> None:
    """Store how far a file is taken in."""
    names = ("name", "head", "offset", "bad_bytes")
    values = (path.name.removesuffix(LEFT), head, offset, bad_bytes)
    store.insert("spool_positions", names, values, replace=True)


def forget_gone(store: Store, files: Sequence[Path]) -> None:
    """Delete the positions of files that are gone.

    A position outlives its file by one drain: if it were deleted first, a kill in between would
    make the file new again.
    """
    here = {path.name.removesuffix(LEFT) for path in files}
    gone = set(_names(store)) - here
    if gone:
        with store.transaction():
            for name in gone:
                store.execute("DELETE FROM spool_positions WHERE name = ?", (name,))


def _names(store: Store) -> Iterator[str]:
    return (row["name"] for row in store.rows("SELECT name FROM spool_positions"))


def delete(store: Store, spool_dir: Path, ended: Sequence[Path]) -> None:
    """Delete the files that are safely in the database.

    If that cannot be done now (a reader holds the checkpoint up, the disk is full), the next drain
    does it.
    """
    try:
        if ended and store.checkpoint():
            for path in ended:
                path.unlink()
            sync_directory(spool_dir)
    except (DiskFull, OSError) as error:
        import logging  # who only counts what waits logs nothing

        logger = logging.getLogger(__name__)
        logger.warning("spool files that are taken in could not be deleted yet: %s", error)
