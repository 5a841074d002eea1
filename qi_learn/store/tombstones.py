"""What keeps a forgotten text from coming back: keyed hashes of it, never the text.

A turn that comes (again) through the spool is not stored if it is one that was forgotten (its id,
or the same words at a time before that), if its conversation sends a message that was a forgotten
turn's own, or if it began within a span that was forgotten. The id of its event is stored all the
same, so that it counts once. Nor is a turn stored that sends as history what was said in a request
that was left out (`said_marks`).

The hashes are of the words as they came, before secrets were taken out, so they hold whatever the
rules for secrets are by then; they are stored with each message and turn. What an older version
stored has none: then they are of the words as that left them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.records import Event, Message, Turn, TurnMarks
from qi_learn.said_marks import MARK_BYTES, history_marks, new_marks
from qi_learn.store.database import Store
from qi_learn.store.turns import message_hash

_KEPT_OUT = """
    SELECT 1 FROM forgotten WHERE turn_id = ?1
    UNION ALL SELECT 1 FROM events WHERE id = ?1 AND kind = 'turn'
        AND NOT EXISTS (SELECT 1 FROM turns WHERE id = ?1)
"""
"""Whether a turn was forgotten, or came and was not stored."""


@dataclass(frozen=True, slots=True)
class AsItCame:
    """What a turn said before secrets were taken out. It is in memory only."""

    messages: tuple[str, ...]
    """The hash of each message after all before it, the answer last."""
    question: str
    answer: str


class Tombstones:
    """The forgotten things of one store, asked about what comes in."""

    def __init__(self, store: Store, key: bytes | None = None) -> None:
        self._store = store
        self._key = key or read_key(store.path)

    def mark(self, *parts: str) -> bytes:
        """The keyed hash of some texts."""
        text = json.dumps(["forgotten", *parts]).encode("ascii")
        return hmac.new(self._key, text, hashlib.sha256).digest()[:MARK_BYTES]

    def mark_of_message(self, hash: str) -> bytes:
        """The keyed hash by which a message is known, from its hash after all before it."""
        return self.mark("message", hash)

    def mark_of_turn(self, question: str, answer: str) -> bytes:
        """The keyed hash by which a turn's words are known."""
        return self.mark("turn", question, answer)

    def marks_of(self, came: AsItCame, known: int = 0) -> TurnMarks:
        """What is stored with a turn; of its messages, with those from number `known` on."""
        messages = tuple(self.mark_of_message(hash) for hash in came.messages[known:])
        return TurnMarks(messages, self.mark_of_turn(came.question, came.answer))

    def bury_turn(self, turn_id: str, question: str, answer: str, at: float) -> None:
        """Remember that a turn was forgotten; `question` and `answer` are as they are stored."""
        row = self._store.row("SELECT came FROM turns WHERE id = ?", (turn_id,))
        came = row and row["came"]
        values = (turn_id, came or self.mark_of_turn(question, answer), at)
        self._store.insert("forgotten", ("turn_id", "mark", "at"), values)

    def bury_messages(self, hashes: Iterable[str]) -> None:
        """Remember that these messages, which are still stored, were forgotten."""
        for each in hashes:
            row = self._store.row("SELECT came FROM messages WHERE hash = ?", (each,))
            for mark in {self.mark_of_message(each), row and row["came"]} - {None}:
                self._store.insert("forgotten_messages", ("mark",), (mark,))

    def bury_span(self, since: float, until: float, project: str) -> None:
        """Remember that what happened then (in a directory, if one is named) was forgotten."""
        mark = self.mark("project", project) if project else None
        known = "SELECT 1 FROM forgotten_spans WHERE since = ? AND until = ? AND project IS ?"
        if self._store.row(known, (since, until, mark)) is None:
            self._store.insert(
                "forgotten_spans", ("since", "until", "project"), (since, until, mark)
            )

    def takes(self, event: Event) -> bool:
        """Take in by what a request that was left out is known again, if an event says that.

        Raises ValueError if it is not of its form.
        """
        if event.kind != "left_out":
            return False
        for mark in event.body["marks"]:
            self._store.insert("forgotten_messages", ("mark",), (bytes.fromhex(mark),))
        return True

    def sends_left_out(self, turn: Turn, stored: int) -> bool:
        """Whether a turn sends as history what was said in a request that was left out.

        `stored`: how many of its messages, as they came, are in the store. A turn from another
        program's log may be that very request: of it the new messages count too.
        """
        if self._store.row("SELECT 1 FROM forgotten_messages LIMIT 1") is None:
            return False
        marks = history_marks(self._key, turn.messages, stored)
        if "imported" in turn.request:
            marks += new_marks(self._key, turn.messages)
        return any(map(self._is_forgotten, marks))

    def _is_forgotten(self, mark: bytes) -> bool:
        sql = "SELECT 1 FROM forgotten_messages WHERE mark = ?"
        return self._store.row(sql, (mark,)) is not None

    def holds_event(self, event: Event) -> bool:
        """Whether an event is of something forgotten, as far as it says so itself."""
        if event.kind in ("cycle", "release"):
            return False
        named = event.body.get("turn") if event.kind in ("rating", "sign") else None
        if named and self._store.row(_KEPT_OUT, (named,)):
            return True
        # a turn's event comes at its end; when it began, `holds_turn` is asked
        return event.kind != "turn" and self._in_span(event.ts, event.project)

    def holds_turn(self, turn: Turn, came: AsItCame, stored: int = 0, parent: str = "") -> bool:
        """Whether a turn (redacted) is forgotten, or sends what is.

        `stored`: how many of its messages are in the store, the last of them under `parent`.
        """
        question = turn.messages[-1].content if turn.messages else ""
        marks = [self.mark_of_turn(question, turn.answer)]
        marks.append(self.mark_of_turn(came.question, came.answer))
        sql = """
            SELECT 1 FROM forgotten
            WHERE turn_id = ?1 OR (mark IN (?2, ?3) AND at >= ?4) LIMIT 1
        """
        if self._store.row(sql, (turn.id, *marks, turn.started)) is not None:
            return True
        if self._in_span(turn.started, turn.project):
            return True
        return self._says_forgotten(turn, came, stored, parent)

    def _says_forgotten(self, turn: Turn, came: AsItCame, stored: int, parent: str) -> bool:
        if self._store.row("SELECT 1 FROM forgotten_messages LIMIT 1") is None:
            return False
        hashes = list(came.messages[stored:])
        said = (*turn.messages[stored:], Message("assistant", turn.answer, turn.answer_extra))
        for message in said:
            hashes.append(parent := message_hash(parent, message))
        return any(self._is_forgotten(self.mark_of_message(hash)) for hash in hashes)

    def holds_words(self, turn: Turn) -> bool:
        """Whether a turn with these words was forgotten, whenever it was said."""
        question = turn.messages[-1].content if turn.messages else ""
        mark = self.mark_of_turn(question, turn.answer)
        return self._store.row("SELECT 1 FROM forgotten WHERE mark = ?", (mark,)) is not None

    def holds_place(self, at: float, project: str) -> bool:
        """Whether what happened then in a directory was forgotten."""
        return self._in_span(at, project)

    def _in_span(self, at: float, project: str | None) -> bool:
        """Whether a time is within a span of everything, or of a directory that holds this one."""
        sql = "SELECT project FROM forgotten_spans WHERE since <= ?1 AND until >= ?1"
        spans = {row[0] for row in self._store.rows(sql, (at,))}
        if None in spans:
            return True
        places = (project, *map(str, Path(project).parents)) if spans and project else ()
        return any(self.mark("project", place) in spans for place in places)


def read_key(database: Path) -> bytes:
    """The key of this installation, beside the database. Raises StoreError if it is not there."""
    path = database.with_name("redaction.key")
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"The key {path} cannot be read: {error}",
            "Without it nothing can be forgotten for good. Check who owns the file.",
        ) from error


# --- into a database that was restored ------------------------------------------------------------


def carry_over_tombstones(
    store: Store, database: Path, *, marks: bool
) -> tuple[list[str], list[str]]:
    """Bring what another database has forgotten into this one.

    `marks`: whether both have the same key, so that the hashes mean the same. Returns the turns of
    this one that are to go, and those that may not be learned. Raises StoreError if the other one
    cannot be read.
    """
    store.execute("ATTACH ? AS here", (database.absolute().as_uri() + "?mode=ro",))
    try:
        for table in _MARKED if marks else ():
            store.execute(f"INSERT OR IGNORE INTO main.{table} SELECT * FROM here.{table}")
        for statement in _BLANKED:
            store.execute(statement)
        ids = "SELECT id FROM main.turns WHERE id IN (SELECT {name} FROM here.{table})"
        gone = store.rows(ids.format(name="turn_id", table="forgotten"))
        kept = store.rows(ids.format(name="id", table="turns WHERE never_learn"))
        return [row["id"] for row in gone], [row["id"] for row in kept]
    finally:
        store.execute("DETACH here")


_MARKED = ("forgotten", "forgotten_messages", "forgotten_spans")
_BLANK = "SELECT id FROM here.events WHERE body IS NULL AND project IS NULL"
_BLANKED = (
    f"UPDATE main.events SET body = NULL, project = NULL WHERE id IN ({_BLANK})",
    f"DELETE FROM main.commands WHERE id IN ({_BLANK})",
    f"DELETE FROM main.ratings WHERE id IN ({_BLANK})",
)
"""Events whose content was taken away there, and what was made of them."""
