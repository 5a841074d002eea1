"""From the spool into the store: every event exactly once.

The invariant: the rows of a line and the offset behind it are written in one transaction, and an
event's id is stored once. So whatever dies, whenever, the next drain goes on behind the last line
that is in the database, and a line that comes again (a file restored, an event sent twice) changes
nothing. Secrets are taken out before the first write (`redact`). A line that cannot be
parsed goes without them to `spool/bad/` (`bad_lines`), is counted, and holds nothing up.

A file is deleted when all of it is in the database, a checkpoint has put that on the disk, and its
producer is gone or has gone on to another file (`spool_positions`). A rating of a turn that is not
there yet is kept, and given to the turn when it comes; so is, for a moment, what an editor saw.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import QiError
from qi_learn.redact import Redactor
from qi_learn.spool import LEFT, Line, read_from, spool_files, sweep
from qi_learn.store import bad_lines
from qi_learn.store.backups import expire_backups
from qi_learn.store.bad_lines import BadLine
from qi_learn.store.client_words import Hear
from qi_learn.store.database import Store
from qi_learn.store.event_intake import (
    Decode,
    DrainMemory,
    EventIntake,
    Outcomes,
    Ran,
    Suggest,
    take_event,
)
from qi_learn.store.events import expire_events
from qi_learn.store.ratings import match_ratings, unmatched_ratings
from qi_learn.store.spool_positions import delete, forget_gone, head_of, position, save_position
from qi_learn.store.turns import turns_known

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
    forgotten: int = 0
    """Events that were not kept, because they are of something that was forgotten."""
    heard: tuple[str, ...] = ()
    """Ids of the turns of which an editor told something."""


def drain(
    store: Store,
    spool_dir: Path,
    *,
    decode: Decode,
    suggest: Suggest,
    say: Hear = lambda _suggestions, _answer, _messages: {},
    outcomes: Outcomes = lambda event: (event,),
    ran: Ran = lambda _turn: (),
    now: float,
    memory: DrainMemory | None = None,
) -> Drained:
    """Take in everything that waits in the spool.

    `decode`: makes the Turn of a `turn` event, ValueError if it cannot. `suggest`: finds the
    suggestions in its redacted answer. `say`: finds what its request says of those of earlier
    answers. `outcomes`: makes of a shell's line the events of what it tells, ValueError if it
    cannot. `ran`: finds the results of commands in a turn's redacted request. `now`: kept with each
    event as the time it was taken in. `memory`: what the drain before left.

    Raises StoreError or DiskFull if the database or `spool/bad/` cannot be written: what was
    committed stays, the rest waits in the spool.
    """
    memory = memory or DrainMemory(store)
    intake = EventIntake(
        store, memory, decode, suggest, say, outcomes, ran, now, turns_known(store)
    )
    files = spool_files(spool_dir)
    memory.files.see(files)
    forget_gone(store, files)
    ended = [path for path in files if _take_file(intake, path)]
    match_ratings(store)  # last: a rating may stand in an earlier file than its turn
    heard = memory.signs.match(store, memory.redactor, now)
    delete(store, spool_dir, ended)
    if memory.time_to_tidy():
        _tidy(store, spool_dir, memory.redactor, now)
    return Drained(
        *(intake.count, intake.bad, tuple(intake.turns), intake.repeated),
        *(unmatched_ratings(store), intake.forgotten, heard),
    )


def _tidy(store: Store, spool_dir: Path, redactor: Redactor, now: float) -> None:
    """Take away what has its bound; what cannot be now, goes the next time."""
    try:
        sweep(spool_dir)
        bad_lines.redact_older(spool_dir / "bad", redactor)
        bad_lines.prune(spool_dir / "bad")
        expire_backups(store.path, now)
        expire_events(store, now)
    except (OSError, QiError) as error:
        logger.warning("not everything that is old could be deleted: %s", error)


def _take_file(intake: EventIntake, path: Path) -> bool:
    """Take in a file; True if it is at its end for good."""
    files = intake.memory.files
    try:
        over = files.over(path)
        if files.unchanged(path):
            return over
        before, head = path.stat(), head_of(path)
        offset, bad_bytes = position(intake.store, path, head)
        for batch in _batches(read_from(path, offset)):
            offset, bad_bytes = _take_batch(intake, path, head, batch, bad_bytes)
        files.at_end(path, before, offset)
        return over and offset == path.stat().st_size
    except FileNotFoundError:
        return False  # it was given another name, and is taken in under that
    except OSError as error:
        logger.error("the spool file %s cannot be read and waits: %s", path, error)
        return False


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
    intake: EventIntake, path: Path, head: str, batch: Sequence[Line], bad_bytes: int
) -> tuple[int, int]:
    """Store the rows of these lines and how far the file is taken in, in one transaction.

    Returns the offset and the length of the file of bad lines.
    """
    bad: list[BadLine] = []
    before = intake.count, intake.repeated, len(intake.turns)
    try:
        with intake.store.transaction():
            for line in batch:
                problem = _take_line(intake, line)
                if problem is not None:
                    bad.append(BadLine(line, problem))
            if bad:
                bad_bytes = _set_aside(intake, path, head, bad, bad_bytes)
            save_position(intake.store, path, head, batch[-1].end, bad_bytes)
    except BaseException:
        intake.count, intake.repeated = before[:2]
        del intake.turns[before[2] :]
        raise
    intake.bad += len(bad)
    _tell(intake, path, bad)
    return batch[-1].end, bad_bytes


def _tell(intake: EventIntake, path: Path, bad: Sequence[BadLine]) -> None:
    """Log what was set aside, once it is: on a full disk it is tried again and again."""
    for one in bad:
        problem = intake.memory.redactor.text(one.problem)
        where = one.line.start, path.name
        logger.warning("line at byte %d of %s set aside in bad/: %s", *where, problem)


def _set_aside(
    intake: EventIntake, path: Path, head: str, bad: Sequence[BadLine], bad_bytes: int
) -> int:
    kept = path.parent / "bad" / f"{path.name.removesuffix(LEFT)}.{head[:8]}"
    return bad_lines.set_aside(kept, bad_bytes, bad, intake.memory.redactor)


def _take_line(intake: EventIntake, line: Line) -> str | None:
    """Store a line's event; returns what is wrong with it if that cannot be done."""
    if line.event is None:
        return line.problem or "not understood"
    if line.event.kind == "hook" and intake.memory.paused(line.event.ts, line.event.ts):
        return None  # what it stands for is of the pause too
    try:
        with intake.store.attempt():
            for event in intake.outcomes(line.event):
                take_event(intake, event)
    except _NOT_UNDERSTOOD as error:
        return f"{type(error).__name__}: {error}"
    return None
