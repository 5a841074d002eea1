"""Content-addressed messages, and the turns that consist of them.

A message is stored under `hash(parent, message)`. The same text after the same conversation is one
row, so a client that sends its whole history with every request costs only the new tail, and two
answers to one conversation (a fork) are two rows with one parent. A turn points at the last message
of its request (`tip`) and at its answer. A changed text would silently change what is learned, so
`verify` derives every hash again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from qi_learn.errors import NotFound
from qi_learn.records import NO_MARKS, Message, Turn, TurnHead, TurnMarks
from qi_learn.store.database import Store
from qi_learn.store.rows import record
from qi_learn.store.shapes import (
    damaged_shapes,
    ensure_shape,
    join_request,
    load_shape,
    split_request,
)

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

SPOOL_PRECISION = 0.001
"""The spool's times are whole milliseconds: an event right after a turn may seem to be that much
before it.
"""

_PLAIN = (
    *("id", "endpoint", "model_asked", "model_answered", "model_digest", "started", "ended"),
    *("status", "cancelled", "complete", "done_reason", "prompt_tokens", "answer_tokens"),
    *("session", "project", "commit", "client"),
)
_COLUMNS = (
    *_PLAIN,
    *("options", "request", "shape", "context_id", "tip", "answer", "redacted", "came"),
)

_MESSAGE = ("hash", "parent", "role", "content", "extra", "came")
_MARKED = "UPDATE messages SET came = ? WHERE hash = ? AND came IS NULL"


# --- messages -------------------------------------------------------------------------------------


def message_hash(parent: str, message: Message) -> str:
    """sha256 (hex) of the message after everything before it; `parent` is "" for the first."""
    text = json.dumps(
        [parent, message.role, message.content, dict(message.extra)], separators=(",", ":")
    )
    from hashlib import sha256  # OpenSSL: a reader of turns needs none

    return sha256(text.encode("ascii")).hexdigest()


def ensure_chain(
    store: Store,
    messages: Sequence[Message],
    *,
    parent: str = "",
    marks: Sequence[bytes | None] = (),
) -> str:
    """Store what is new of a conversation (below `parent`); returns the hash of its last message.

    If the conversation has no message, that is `parent`. `marks`: by what each message is known as
    it came, if that is known.
    """
    with store.transaction():
        for message, came in zip_longest(messages, marks[: len(messages)]):
            own = message_hash(parent, message)
            values = (own, parent or None, message.role, message.content, _json(message.extra))
            if not store.insert("messages", _MESSAGE, (*values, came)) and came is not None:
                store.execute(_MARKED, (came, own))
            parent = own
    return parent


def load_chain(store: Store, tip: str) -> tuple[Message, ...]:
    """The conversation that ends in `tip`, first message first; empty for ""."""
    sql = """
        WITH RECURSIVE chain (hash, parent, role, content, extra, depth) AS (
            SELECT hash, parent, role, content, extra, 0 FROM messages WHERE hash = ?
            UNION ALL
            SELECT m.hash, m.parent, m.role, m.content, m.extra, depth + 1
            FROM messages m JOIN chain ON m.hash = chain.parent
        ) SELECT role, content, extra FROM chain ORDER BY depth DESC
    """
    return tuple(_message(row) for row in store.rows(sql, (tip,)))


def forks(store: Store) -> list[tuple[str, ...]]:
    """Turns that answered one and the same conversation differently, oldest first.

    Each group is a preference pair or more for free.
    """
    sql = """
        SELECT tip, id FROM turns WHERE status = 200 AND NOT cancelled AND NOT never_learn
            AND tip IN (
            SELECT tip FROM turns WHERE status = 200 AND NOT cancelled
            GROUP BY tip HAVING count(DISTINCT answer) > 1
        ) ORDER BY tip, started, id
    """
    groups: dict[str, list[str]] = {}
    for row in store.rows(sql):
        groups.setdefault(row["tip"], []).append(row["id"])
    return [tuple(ids) for ids in groups.values()]


def verify(store: Store) -> list[str]:
    """What is wrong with the hashes and with the references, in words; empty if nothing is.

    Each hash is derived again.
    """
    wrong = []
    last = ""
    while batch := store.rows(
        "SELECT hash, parent, role, content, extra FROM messages WHERE hash > ? ORDER BY hash "
        "LIMIT 1000",
        (last,),
    ):
        wrong += [
            f"message {row['hash']}: its text is not what was stored"
            for row in batch
            if not _intact(row)
        ]
        last = batch[-1]["hash"]
    wrong += damaged_shapes(store.conn)
    for row in store.rows("PRAGMA foreign_key_check"):
        wrong.append(
            f"{row['table']} row {row['rowid']}: what it refers to in {row['parent']} is missing"
        )
    return wrong


def _intact(row: sqlite3.Row) -> bool:
    try:
        return bool(message_hash(row["parent"] or "", _message(row)) == row["hash"])
    except (ValueError, TypeError):
        return False


# --- turns ----------------------------------------------------------------------------------------


def save_messages(
    store: Store,
    clean: Redacted[Turn],
    *,
    known: tuple[int, str] = (0, ""),
    marks: TurnMarks = NO_MARKS,
) -> tuple[int, str]:
    """Store the messages of a turn before the turn itself, which goes on from them.

    `known`: how many are stored already, and the hash of the last of those; `marks` are of the
    rest. Returns the same of all of them.
    """
    messages, (count, parent) = clean.value.messages, known
    tip = ensure_chain(store, messages[count:], parent=parent, marks=marks.messages[:-1])
    return len(messages), tip


def save_turn(
    store: Store,
    clean: Redacted[Turn],
    *,
    redacted: bool = False,
    known: tuple[int, str] = (0, ""),
    marks: TurnMarks = NO_MARKS,
) -> bool:
    """Store a turn; False if it was there already.

    `redacted`: whether something was taken out of its texts. `known`: how many of its messages are
    stored already, and the hash of the last of those. `marks`: the last is of the answer.
    """
    turn, (count, parent) = clean.value, known
    with store.transaction():
        tip = ensure_chain(store, turn.messages[count:], parent=parent)
        said = Message("assistant", turn.answer, turn.answer_extra)
        answer = ensure_chain(store, [said], parent=tip, marks=marks.messages[-1:])
        request, shape = split_request(store.conn, turn.request)
        context = _json(turn.context)
        about = (
            *(_json(turn.options), request, shape),
            *(context and ensure_shape(store.conn, context), tip or None, answer, redacted),
            marks.turn,
        )
        plain = (getattr(turn, name) for name in _PLAIN)
        return store.insert("turns", _COLUMNS, (*plain, *about)) > 0


def load_turn(store: Store, id: str) -> Turn:
    """The turn as it was saved. Raises NotFound if there is no such turn."""
    row = _row(store, id, _COLUMNS)
    answer = store.row("SELECT role, content, extra FROM messages WHERE hash = ?", (row["answer"],))
    if answer is None:
        raise NotFound(
            f"The answer of the turn {id} is not in the database.",
            "The database has lost rows: `qi-learn doctor` says more.",
        )
    answered = _message(answer)
    values = {name: row[name] for name in _PLAIN}
    values |= {"cancelled": bool(row["cancelled"]), "complete": bool(row["complete"])}
    context = row["context_id"]
    return Turn(
        messages=load_chain(store, row["tip"] or ""),
        answer=answered.content,
        answer_extra=answered.extra,
        options=_mapping(row["options"]),
        request=join_request(store.conn, row["request"], row["shape"]),
        context={} if context is None else load_shape(store.conn, context) or {},
        **values,
    )


def load_head(store: Store, id: str) -> TurnHead:
    """A turn without its conversation. Raises NotFound if there is no such turn."""
    names = ("id", "endpoint", "started", "ended", "status", "project", "cancelled")
    return record(TurnHead, _row(store, id, names))


def was_redacted(store: Store, id: str) -> bool:
    """Whether something was taken out of the turn before it was stored.

    Then what the server rendered is not what is here. Raises NotFound if there is no such turn.
    """
    return bool(_row(store, id, ("redacted",))["redacted"])


def kept_back(store: Store, id: str) -> tuple[bool, float | None, bool]:
    """Whether the turn is kept from learning, when its texts expired, and whether it had none.

    None: they are there, or there never were any: that was noted as it was taken in. Raises
    NotFound if there is no such turn.
    """
    row = _row(store, id, ("never_learn", "texts_gone"))
    taken = store.row("SELECT taken FROM events WHERE id = ?", (id,))
    gone = row["texts_gone"]
    none = gone is not None and taken is not None and gone == taken["taken"]
    return bool(row["never_learn"]), None if none else gone, none


def turns_known(store: Store) -> int:
    """The row number of the last turn taken in."""
    row = store.row("SELECT max(rowid) FROM turns")
    return int(row[0] or 0) if row is not None else 0


def set_project(store: Store, id: str, project: str) -> None:
    """Store the project of a turn, found out late: its answer was placed there. Raises NotFound."""
    if not store.execute("UPDATE turns SET project = ?, dirty = 1 WHERE id = ?", (project, id)):
        raise _no_turn(id)


def give_context(
    store: Store, ids: Sequence[str], context: Redacted[Mapping[str, Any]], commit: str | None
) -> None:
    """Store the context of turns, found out late; they are classified and scored with it anew."""
    sql = """
        UPDATE turns SET context_id = ?, "commit" = ?, learning_type = NULL, dirty = 1 WHERE id = ?
    """
    with store.transaction():
        text = _json(context.value)
        number = text and ensure_shape(store.conn, text)
        for id in ids:
            store.execute(sql, (number, commit, id))


def is_another(store: Store, turn: Turn) -> bool:
    """Whether the stored turn with this id is not this one: it began at another time."""
    row = store.row("SELECT started FROM turns WHERE id = ?", (turn.id,))
    return row is not None and abs(float(row["started"]) - turn.started) > 0.001


# --- rows and records -----------------------------------------------------------------------------


def _row(store: Store, id: str, names: Sequence[str]) -> sqlite3.Row:
    listed = ", ".join(f'"{name}"' for name in names)
    row = store.row(f"SELECT {listed} FROM turns WHERE id = ?", (id,))
    if row is None:
        raise _no_turn(id)
    return row


def _no_turn(id: str) -> NotFound:
    return NotFound(
        f"No answer with the id {id} was recorded.",
        "`qi-learn log` lists the ids; `last` means the newest of this project.",
    )


def _message(row: sqlite3.Row) -> Message:
    return Message(row["role"], row["content"], _mapping(row["extra"]))


def _json(value: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(value), separators=(",", ":")) if value else None


def _mapping(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}
