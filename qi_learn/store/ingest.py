"""From the spool into the store: every event exactly once.

The invariant: the rows of a line and the offset behind it are written in one transaction, and an
event's id is stored once. So whatever dies, whenever, the next drain goes on behind the last line
that is in the database, and a line that comes again (a file restored, an event sent twice) changes
nothing. Secrets are taken out before the first write (`redact`). A line that cannot be parsed goes
as it came to `spool/bad/<file>`, is counted, and holds nothing up. It may hold secrets, so it is
0600 like the spool itself.

A file is deleted when all of it is in the database, a checkpoint has put that on the disk, and its
producer is gone or has gone on to another file. A rating of a turn that is not there yet is kept,
and given to the turn when it comes.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn import codec
from qi_learn.errors import DiskFull
from qi_learn.paths import sync_directory
from qi_learn.records import CommandResult, Event, Suggestion, Turn
from qi_learn.redact import Redactor, load_redactor
from qi_learn.spool import Line, finished, read_from, spool_files
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store
from qi_learn.store.events import save_event
from qi_learn.store.feedback import save_suggestions
from qi_learn.store.ratings import keep_rating, match_ratings, unmatched_ratings
from qi_learn.store.releases import apply_release
from qi_learn.store.runs import apply_cycle
from qi_learn.store.turns import save_turn, session_of

logger = logging.getLogger(__name__)

BATCH_LINES, BATCH_BYTES = 1000, 4 * 1024 * 1024
"""The most that one transaction takes in: so many lines, and about so many bytes."""
_NOT_UNDERSTOOD = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError),
)
"""What a decoder or a statement may raise over a line of unforeseen form.

The line is set aside: it must not hold up everything behind it.
"""

Decode = Callable[[Event], Turn]
Suggest = Callable[[Turn], tuple[Suggestion, ...]]


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain took in."""

    count: int
    """New events."""
    bad: int
    """Lines set aside in `spool/bad/`."""
    turns: tuple[str, ...]
    """Ids of the new turns."""
    repeated: int = 0
    """Lines with an event that was there already."""
    unmatched: int = 0
    """Ratings, old and new, that wait for a turn that was not recorded, or not yet."""


@dataclass(slots=True)
class _Intake:
    """What storing a line needs, and the counts of what was stored."""

    store: Store
    redactor: Redactor
    decode: Decode
    suggest: Suggest
    now: float
    count: int = 0
    bad: int = 0
    repeated: int = 0
    turns: list[str] = field(default_factory=list)


def drain(
    store: Store, spool_dir: Path, *, decode: Decode, suggest: Suggest, now: float
) -> Drained:
    """Take in everything that waits in the spool.

    `decode`: makes the Turn of a `turn` event, ValueError if it cannot. `suggest`: finds the
    suggestions in its redacted answer. `now`: kept with each event as the time it was taken in.
    Raises StoreError or DiskFull if the database or `spool/bad/` cannot be written: what was
    committed stays, the rest waits in the spool.
    """
    intake = _Intake(
        store, load_redactor(store.path.with_name("redaction.key")), decode, suggest, now
    )
    files = spool_files(spool_dir)
    _forget_gone(store, files)
    ended = [path for path in files if _take_file(intake, path)]
    match_ratings(store)  # last: a rating may stand in an earlier file than its turn
    _delete(store, spool_dir, ended)
    return Drained(
        intake.count, intake.bad, tuple(intake.turns), intake.repeated, unmatched_ratings(store)
    )


def _take_file(intake: _Intake, path: Path) -> bool:
    """Take in a file; True if it is at its end for good."""
    try:
        over = finished(path)
        offset, bad_bytes = _position(intake.store, path)
        for batch in _batches(read_from(path, offset)):
            offset, bad_bytes = _take_batch(intake, path, batch, bad_bytes)
        return over and offset == path.stat().st_size
    except OSError as error:
        logger.error("the spool file %s cannot be read and waits: %s", path, error)
        return False


def _position(store: Store, path: Path) -> tuple[int, int]:
    row = store.row("SELECT offset, bad_bytes FROM spool_files WHERE name = ?", (path.name,))
    if row is None:
        return 0, 0
    return (row["offset"] if row["offset"] <= path.stat().st_size else 0), row["bad_bytes"]


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += line.end - line.start
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _take_batch(
    intake: _Intake, path: Path, batch: Sequence[Line], bad_bytes: int
) -> tuple[int, int]:
    """Store the rows of these lines and how far the file is taken in, in one transaction.

    Returns the offset and the length of the file of bad lines.
    """
    bad: list[Line] = []
    before = intake.count, intake.repeated, len(intake.turns)
    try:
        with intake.store.transaction():
            for line in batch:
                problem = _take_line(intake, line)
                if problem is not None:
                    logger.warning(
                        "line at byte %d of %s set aside in bad/: %s",
                        line.start,
                        path.name,
                        problem,
                    )
                    bad.append(line)
            if bad:
                bad_bytes = _set_aside(path.parent / "bad" / path.name, bad_bytes, bad)
            names = ("name", "offset", "bad_bytes")
            intake.store.insert(
                "spool_files", names, (path.name, batch[-1].end, bad_bytes), replace=True
            )
    except BaseException:
        intake.count, intake.repeated = before[:2]
        del intake.turns[before[2] :]
        raise
    intake.bad += len(bad)
    return batch[-1].end, bad_bytes


def _take_line(intake: _Intake, line: Line) -> str | None:
    """Store a line's event; returns what is wrong with it if that cannot be done."""
    if line.event is None:
        return line.problem or "not understood"
    try:
        with intake.store.attempt():
            _take_event(intake, line.event)
    except _NOT_UNDERSTOOD as error:
        return f"{type(error).__name__}: {error}"
    return None


def _take_event(intake: _Intake, event: Event) -> None:
    store = intake.store
    turn = None
    if event.kind == "turn":
        turn = intake.decode(event)
        event = replace(event, body={})
    event = replace(event, body=intake.redactor.value(event.body))
    if not save_event(store, event, taken=intake.now):
        intake.repeated += 1
        return
    if turn is not None:
        _take_turn(intake, turn)
    elif event.kind == "rating":
        keep_rating(store, event)
    elif event.kind == "outcome":
        save_command(store, _command(event))
    elif event.kind == "cycle":
        apply_cycle(store, event)
    elif event.kind == "release":
        apply_release(store, event)
    intake.count += 1  # git, hook and edit events are kept as they came


def _take_turn(intake: _Intake, decoded: Turn) -> None:
    turn = intake.redactor.turn(decoded)
    redacted = turn != decoded
    turn = replace(turn, session=session_of(intake.store, turn))
    if save_turn(intake.store, turn, redacted=redacted):
        save_suggestions(intake.store, intake.suggest(turn))
        intake.turns.append(turn.id)


def _command(event: Event) -> CommandResult:
    names = ("kind", "command", "exit_code", "seconds", "failed", "passed", "commit", "value")
    fields = {name: event.body[name] for name in names if name in event.body}
    return codec.build(
        CommandResult, {"id": event.id, "ts": event.ts, "project": event.project or "", **fields}
    )


def _set_aside(path: Path, length: int, lines: Sequence[Line]) -> int:
    """Write bad lines into their file, behind what the database knows of; returns its new length.

    The database knows of the first `length` bytes.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "r+b") as file:
            file.truncate(length)
            file.seek(length)
            file.write(
                b"".join(
                    line.raw if line.raw.endswith(b"\n") else line.raw + b"\n" for line in lines
                )
            )
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        raise DiskFull(
            f"Bad lines of the spool cannot be set aside in {path}: {error}",
            "Make room on the disk; the lines wait in the spool.",
        ) from error


def _forget_gone(store: Store, files: Sequence[Path]) -> None:
    """Delete the positions of files that are gone.

    A position outlives its file by one drain: if it were deleted first, a kill in between would
    make the file new again.
    """
    here = {path.name for path in files}
    gone = [
        row["name"] for row in store.rows("SELECT name FROM spool_files") if row["name"] not in here
    ]
    if gone:
        with store.transaction():
            for name in gone:
                store.execute("DELETE FROM spool_files WHERE name = ?", (name,))


def _delete(store: Store, spool_dir: Path, ended: Sequence[Path]) -> None:
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
        logger.warning("spool files that are taken in could not be deleted yet: %s", error)
