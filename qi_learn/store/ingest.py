"""From the spool into the store: every event exactly once.

The invariant: the rows of a line and the offset behind it are written in one transaction, and an
event's id is stored once. So whatever dies, whenever, the next drain goes on behind the last line
that is in the database, and a line that comes again (a file restored, an event sent twice) changes
nothing. Secrets are taken out before the first write (`redact`). A line that cannot be
parsed goes without them to `spool/bad/` (`bad_lines`), is counted, and holds nothing up.

A file is deleted when all of it is in the database, a checkpoint has put that on the disk, and its
producer is gone or has gone on to another file (`spool_positions`). A rating of a turn that is not
there yet is kept, and given to the turn when it comes.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn import codec
from qi_learn.errors import QiError
from qi_learn.records import CommandResult, Event, Suggestion, Turn
from qi_learn.redact import Redactor
from qi_learn.spool import LEFT, Line, read_from, spool_files, sweep
from qi_learn.storable import storable_value
from qi_learn.store import bad_lines
from qi_learn.store.backups import expire_backups
from qi_learn.store.bad_lines import BadLine
from qi_learn.store.client_words import Hear, hear
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store
from qi_learn.store.events import drop_turn_event, expire_events, save_event
from qi_learn.store.expiry import mark_textless
from qi_learn.store.feedback import save_suggestions
from qi_learn.store.known_chains import KnownChains
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.ratings import keep_rating, match_ratings, unmatched_ratings
from qi_learn.store.releases import apply_release
from qi_learn.store.runs import apply_cycle
from qi_learn.store.sessions import session_of
from qi_learn.store.spool_positions import (
    SpoolFiles,
    delete,
    forget_gone,
    head_of,
    position,
    save_position,
)
from qi_learn.store.tombstones import Tombstones
from qi_learn.store.tool_signs import apply_sign, without_text
from qi_learn.store.turns import is_another, save_messages, save_turn, turns_known

logger = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
"""Seconds between two looks at what has grown old."""
BATCH_LINES, BATCH_BYTES = 1000, 4 * 1024 * 1024
"""The most that one transaction takes in: so many lines, and about so many bytes."""
_NOT_UNDERSTOOD = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError),
)
"""What a decoder or a statement may raise over a line of unforeseen form.

The line is set aside: it must not hold up everything behind it.
"""

_SEEN_BESIDE = ("outcome", "git", "hook", "edit")
"""Kinds of events that tell what a person did: those of a pause are not kept."""
Decode = Callable[[Event], Turn]
Suggest = Callable[[Turn], tuple[Suggestion, ...]]
Outcomes = Callable[[Event], tuple[Event, ...]]
Ran = Callable[[Turn], tuple[CommandResult, ...]]


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


class DrainMemory:
    """What one drain leaves to the next: it only saves work, and may be lost at any time."""

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        paused: Callable[[float, float], bool] = lambda _first, _last: False,
    ) -> None:
        """`paused`: whether recording was paused in a part of a time."""
        self.paused = paused
        self.redactor = redactor_of(store)
        self.chains = KnownChains(self.redactor)
        self.files = SpoolFiles(monotonic)
        self.tombstones = Tombstones(store)
        self._monotonic = monotonic
        self._tidied = float("-inf")

    def time_to_tidy(self) -> bool:
        """Whether it is `TIDY_SECONDS` since this was last true."""
        now = self._monotonic()
        if now - self._tidied < TIDY_SECONDS:
            return False
        self._tidied = now
        return True


@dataclass(slots=True)
class _Intake:
    """What storing a line needs, and the counts of what was stored."""

    store: Store
    memory: DrainMemory
    decode: Decode
    suggest: Suggest
    say: Hear
    outcomes: Outcomes
    ran: Ran
    now: float
    known: int
    """How many turns there were before."""
    count: int = 0
    bad: int = 0
    repeated: int = 0
    forgotten: int = 0
    turns: list[str] = field(default_factory=list)


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
    intake = _Intake(store, memory, decode, suggest, say, outcomes, ran, now, turns_known(store))
    files = spool_files(spool_dir)
    memory.files.see(files)
    forget_gone(store, files)
    ended = [path for path in files if _take_file(intake, path)]
    match_ratings(store)  # last: a rating may stand in an earlier file than its turn
    delete(store, spool_dir, ended)
    if memory.time_to_tidy():
        _tidy(store, spool_dir, memory.redactor, now)
    return Drained(
        *(intake.count, intake.bad, tuple(intake.turns), intake.repeated),
        *(unmatched_ratings(store), intake.forgotten),
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


def _take_file(intake: _Intake, path: Path) -> bool:
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
    intake: _Intake, path: Path, head: str, batch: Sequence[Line], bad_bytes: int
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


def _tell(intake: _Intake, path: Path, bad: Sequence[BadLine]) -> None:
    """Log what was set aside, once it is: on a full disk it is tried again and again."""
    for one in bad:
        problem = intake.memory.redactor.text(one.problem)
        where = one.line.start, path.name
        logger.warning("line at byte %d of %s set aside in bad/: %s", *where, problem)


def _set_aside(
    intake: _Intake, path: Path, head: str, bad: Sequence[BadLine], bad_bytes: int
) -> int:
    kept = path.parent / "bad" / f"{path.name.removesuffix(LEFT)}.{head[:8]}"
    return bad_lines.set_aside(kept, bad_bytes, bad, intake.memory.redactor)


def _take_line(intake: _Intake, line: Line) -> str | None:
    """Store a line's event; returns what is wrong with it if that cannot be done."""
    if line.event is None:
        return line.problem or "not understood"
    if line.event.kind == "hook" and intake.memory.paused(line.event.ts, line.event.ts):
        return None  # what it stands for is of the pause too
    try:
        with intake.store.attempt():
            for event in intake.outcomes(line.event):
                _take_event(intake, event)
    except _NOT_UNDERSTOOD as error:
        return f"{type(error).__name__}: {error}"
    return None


def _take_event(intake: _Intake, event: Event) -> None:
    if intake.memory.tombstones.takes(event):
        return
    if event.kind in _SEEN_BESIDE and intake.memory.paused(event.began, event.ts):
        return
    store = intake.store
    event = replace(event, project=storable_value(event.project))
    turn = None
    if event.kind == "turn":
        turn = intake.decode(event)
        event = replace(event, body={})
    if forgotten := intake.memory.tombstones.holds_event(event):
        event = replace(event, body={}, project=None)
    clean = intake.memory.redactor.clean(event)
    kept = intake.memory.redactor.clean(without_text(event)) if event.kind == "sign" else clean
    if not save_event(store, kept, taken=intake.now):
        if turn is not None and is_another(store, turn):
            raise ValueError(f"the id {turn.id} was used for another turn before")
        intake.repeated += 1
        return
    if forgotten:
        intake.forgotten += 1
    elif turn is not None:
        _take_turn(intake, turn)
    elif event.kind == "rating":
        keep_rating(store, clean, known=intake.known)
    elif event.kind == "outcome":
        save_command(store, intake.memory.redactor.clean(_command(event)))
    elif event.kind == "cycle":
        apply_cycle(store, clean)
    elif event.kind == "release":
        apply_release(store, clean)
    elif event.kind == "sign":
        apply_sign(store, clean, intake.memory.redactor)
    intake.count += 1  # git, hook and edit events are kept as they came


def _take_turn(intake: _Intake, decoded: Turn) -> None:
    clean = intake.memory.chains.redacted(intake.store, decoded)
    turn = clean.turn.value
    tombstones = intake.memory.tombstones
    again = tombstones.sends_left_out(decoded, clean.known[0])
    if again or tombstones.holds_turn(turn, clean.came, *clean.known):
        intake.forgotten += 1
        drop_turn_event(intake.store, turn.id, sent_again=again)
        return
    marks = tombstones.marks_of(clean.came, clean.known[0])
    known = save_messages(intake.store, clean.turn, known=clean.known, marks=marks)
    session = session_of(intake.store, turn, known[1])
    whole = clean.turn.having(session=intake.memory.redactor.clean(session))
    if save_turn(intake.store, whole, redacted=clean.changed, known=known, marks=marks):
        suggested = intake.memory.redactor.clean(intake.suggest(turn))
        save_suggestions(intake.store, suggested)
        hear(intake.store, whole.value, intake.say, intake.memory.redactor)
        for command in intake.ran(turn):
            save_command(intake.store, intake.memory.redactor.clean(command))
        if not (turn.messages or turn.answer):
            mark_textless(intake.store, turn.id, intake.now)
        intake.turns.append(turn.id)


def _command(event: Event) -> CommandResult:
    names = (
        *("kind", "command", "exit_code", "seconds", "failed", "passed", "commit", "value"),
        *("cwd", "interrupted", "tests", "loaded", "failing"),
    )
    fields = {name: event.body[name] for name in names if name in event.body}
    return codec.build(
        CommandResult, {"id": event.id, "ts": event.ts, "project": event.project or "", **fields}
    )
