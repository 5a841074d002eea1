"""Which turns a `forget` means: read only, so that a dry run says what the real one would do.

A turn's own messages are what its request says after the last answer in it (tool results too,
system text not), and its answer, unless an earlier turn said them. A later turn of the conversation
sends them again in its history, so it holds the text and goes along: else the text would stay.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qi_learn.errors import NotFound
from qi_learn.records import ForgetRequest
from qi_learn.said_marks import SHORTEST
from qi_learn.store import said_texts
from qi_learn.store.database import Store
from qi_learn.store.short_ids import no_such_answer, only_one, turns_named

Says = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class ForgetChoice:
    """What is meant."""

    meant: tuple[str, ...]
    """Ids of the turns that were asked for."""
    along: tuple[str, ...] = ()
    """Ids of those that hold the same messages."""
    messages: frozenset[str] = frozenset()
    """Hashes of the messages that may not come back: own ones, and those that hold the pattern."""
    shared: tuple[str, ...] = ()
    """Ids of earlier turns that stay, and say something that a meant one said again."""
    contexts: tuple[int, ...] = ()
    """Numbers of the contexts of projects in which it was found."""
    events: tuple[str, ...] = ()
    """Ids of the events whose content goes."""
    commands: tuple[str, ...] = ()
    ratings: tuple[str, ...] = ()
    """Ids of ratings of no turn that was recorded."""
    texts: tuple[str, ...] = field(default=(), repr=False)
    """A few of the texts, to search for afterwards; they are never written."""

    @property
    def turns(self) -> tuple[str, ...]:
        """Every turn that goes."""
        return (*self.meant, *self.along)


def choose(store: Store, request: ForgetRequest) -> ForgetChoice:
    """What the request means in this store. Raises NotFound if an id names no turn."""
    if request.ids:
        return _by_ids(store, request)
    if request.grep:
        return _by_words(store, says(request.grep))
    condition, values = _span_of(request)
    return _within(store, condition, values)


def says(pattern: str) -> Says:
    """Whether a text holds the pattern: as a regular expression, or word by word.

    A letter is the same however it is put together (Unicode's NFC), and any blanks, line ends too,
    also as JSON writes them, part two words.
    """
    plain = normal(pattern)
    words = plain.split()
    spoken = re.compile(_BLANKS.join(map(re.escape, words)), re.IGNORECASE)
    small = plain.lower()

    def said(text: str) -> bool:
        return bool(spoken.search(text)) if len(words) > 1 else small in text.lower()

    try:
        expression = re.compile(plain, re.IGNORECASE | re.MULTILINE)
    except re.error:
        return lambda text: said(normal(text))
    if not _SIGNS.search(plain):  # much quicker
        return lambda text: said(normal(text))
    return lambda text: bool(expression.search(normal(text))) or said(normal(text))


def normal(text: str) -> str:
    """A text with its letters put together (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


_BLANKS = r"(?:\s|\\[nrt])+"
_SIGNS = re.compile(r"[\\^$.|?*+()\[\]{}]")
"""Signs that mean something in a regular expression."""


def turn_named(store: Store, name: str) -> str:
    """The id of a turn by its id, a beginning of it that no other has, or `last`.

    Raises NotFound.
    """
    if name == "last":
        row = store.row("SELECT id FROM turns ORDER BY ended DESC, id DESC LIMIT 1")
        found = row and str(row["id"])
    else:
        found = only_one(name, turns_named(store, name))
    if found:
        return found
    if store.row("SELECT 1 FROM forgotten WHERE turn_id = ?", (name,)):
        raise NotFound(f"{name} was forgotten before.", "Its receipt is in `receipts/`.")
    raise no_such_answer(name)


def own_messages(store: Store, turn_id: str) -> list[tuple[str, str]]:
    """Hash and text of the messages that are a turn's own, first the question, last the answer."""
    row = store.row("SELECT tip, answer FROM turns WHERE id = ?", (turn_id,))
    own: list[tuple[str, str]] = []
    at = row and row["tip"]
    while at:
        message = store.row("SELECT * FROM messages WHERE hash = ?", (at,))
        if message is None or message["role"] == "assistant":
            break
        if message["role"] != "system":
            own.append((at, message["content"]))
        at = message["parent"]
    if row is not None:
        answer = store.row("SELECT content FROM messages WHERE hash = ?", (row["answer"],))
        own.insert(0, (row["answer"], answer["content"] if answer else ""))
    return own[::-1]


def needing(store: Store, hashes: Iterable[str]) -> list[str]:
    """The turns whose conversation holds one of these messages, oldest first."""
    sql = """
        WITH RECURSIVE below (hash) AS (
            SELECT value FROM json_each(?)
            UNION SELECT m.hash FROM messages m JOIN below ON m.parent = below.hash
        )
        SELECT id FROM turns WHERE answer IN (SELECT hash FROM below) ORDER BY started, id
    """
    return [row["id"] for row in store.rows(sql, (json.dumps(sorted(hashes)),))]


# --- the four ways to say it ----------------------------------------------------------------------


def _by_ids(store: Store, request: ForgetRequest) -> ForgetChoice:
    meant = tuple(dict.fromkeys(turn_named(store, name) for name in request.ids))
    own = [message for turn in meant for message in own_messages(store, turn)]
    texts = [text for _, text in own] + _suggested(store, meant)
    told = {*meant, *(text for text in texts if len(text) >= SHORTEST)}
    events = [
        row["id"]
        for row in store.rows("SELECT id, body FROM events WHERE body IS NOT NULL")
        if any(_in_json(text, row["body"]) for text in told)
    ]
    return _completed(store, ForgetChoice(meant, events=tuple(events)))


def _suggested(store: Store, turns: Sequence[str]) -> list[str]:
    sql = "SELECT text FROM suggestions WHERE turn_id IN (SELECT value FROM json_each(?))"
    return [row["text"] for row in store.rows(sql, (json.dumps(turns),))]


def _by_words(store: Store, found: Says) -> ForgetChoice:
    messages = frozenset(
        row["hash"]
        for row in store.rows("SELECT hash, content, extra FROM messages")
        if _found_in(found, said_texts.MESSAGES, row)
    )
    shapes = _shapes(store, found, said_texts.in_json, "shape")
    return _completed(
        store,
        ForgetChoice(
            tuple(dict.fromkeys((*needing(store, messages), *_turns_saying(store, found, shapes)))),
            messages=messages,
            contexts=tuple(_shapes(store, found, said_texts.of_context, "context_id")),
            events=tuple(
                row["id"]
                for row in store.rows("SELECT id, kind, body FROM events WHERE body IS NOT NULL")
                if any(map(found, said_texts.of_event(row["kind"], row["body"])))
            ),
            commands=_ids_saying(store, "commands", said_texts.COMMANDS, found),
            ratings=_ids_saying(store, "ratings", said_texts.RATINGS, found),
        ),
    )


def _within(store: Store, condition: str, values: tuple[Any, ...]) -> ForgetChoice:
    def ids(table: str, time: str) -> tuple[str, ...]:
        sql = f"SELECT id FROM {table} WHERE {condition.format(time=time)} ORDER BY {time}, id"
        return tuple(row["id"] for row in store.rows(sql, values))

    events = tuple(
        row["id"]
        for row in store.rows(
            f"SELECT id FROM events WHERE {condition.format(time='ts')} "
            "AND kind NOT IN ('cycle', 'release')",
            values,
        )
    )
    return _completed(
        store,
        ForgetChoice(
            ids("turns", "started"),
            events=events,
            commands=ids("commands", "ts"),
            ratings=ids("ratings", "ts"),
        ),
    )


def _span_of(request: ForgetRequest) -> tuple[str, tuple[Any, ...]]:
    if request.project:
        inside = request.project.rstrip("/") + "/"
        return (
            "(project = ? OR substr(project, 1, ?) = ?)",
            (request.project, len(inside), inside),
        )
    return "{time} >= ? AND {time} <= ?", (request.since or 0.0, request.asked)


def _completed(store: Store, choice: ForgetChoice) -> ForgetChoice:
    """The choice with the turns that go along, and with a few texts to search for."""
    meant, own, first = set(choice.meant), dict[str, str](), dict[str, float]()
    for turn in choice.meant:
        began = _began(store, turn)
        for hash, text in own_messages(store, turn):
            own[hash] = text
            first[hash] = min(began, first.get(hash, began))
    others = {turn: _began(store, turn) for turn in needing(store, own) if turn not in meant}
    said = {turn: chain_of(store, turn) & own.keys() for turn in others}
    earlier = {h for turn, began in others.items() for h in said[turn] if began < first[h]}
    earlier -= choice.messages
    owned = own.keys() - earlier
    along = tuple(turn for turn in others if said[turn] & owned)
    rated = _ratings_of(store, (*choice.meant, *along))
    texts = tuple(dict.fromkeys(filter(None, (_longest_line(own[hash]) for hash in owned))))
    return replace(
        choice,
        along=along,
        shared=tuple(turn for turn in others if not said[turn] & owned),
        events=tuple(dict.fromkeys((*choice.events, *rated))),
        messages=choice.messages | {hash for hash in owned if len(own[hash]) >= SHORTEST},
        texts=texts[:SEARCHED_TEXTS],
    )


def _ratings_of(store: Store, turns: Sequence[str]) -> list[str]:
    """The ratings that go with turns: the event of one holds its words, and need not name them."""
    sql = "SELECT id FROM ratings WHERE turn_id IN (SELECT value FROM json_each(?)) ORDER BY ts, id"
    return [row["id"] for row in store.rows(sql, (json.dumps(turns),))]


def _began(store: Store, turn_id: str) -> float:
    row = store.row("SELECT started FROM turns WHERE id = ?", (turn_id,))
    return float(row["started"]) if row else 0.0


def chain_of(store: Store, turn_id: str) -> set[str]:
    """Hashes of all messages of a turn, its answer among them."""
    sql = """
        WITH RECURSIVE above (hash) AS (
            SELECT answer FROM turns WHERE id = ?
            UNION SELECT m.parent FROM messages m JOIN above ON m.hash = above.hash
                  WHERE m.parent IS NOT NULL
        ) SELECT hash FROM above
    """
    return {row["hash"] for row in store.rows(sql, (turn_id,))}


SEARCHED_TEXTS = 20
"""The number of texts that are searched for afterwards."""


def _longest_line(text: str) -> str:
    line = max(text.splitlines(), key=len, default="").strip()
    return line if len(line) >= SHORTEST else ""


# --- where words are found ------------------------------------------------------------------------

_SHAPES = {
    "context_id": "SELECT context_id FROM turns",
    "shape": "SELECT part.value FROM turns, json_each(turns.shape) part",
}


def _turns_saying(store: Store, found: Says, shapes: list[int]) -> Iterator[str]:
    for table, columns in said_texts.ON_TURNS.items():
        listed = ", ".join(columns)
        for row in store.rows(f"SELECT turn_id, {listed} FROM {table} WHERE turn_id IS NOT NULL"):
            if _found_in(found, columns, row):
                yield row["turn_id"]
    yield from _ids_saying(store, "turns", said_texts.TURNS, found)
    if shapes:
        sql = """
            SELECT DISTINCT turns.id FROM turns, json_each(turns.shape) part
            WHERE part.value IN (SELECT value FROM json_each(?))
        """
        yield from (row["id"] for row in store.rows(sql, (json.dumps(shapes),)))


def _shapes(
    store: Store, found: Says, read: Callable[[str], Iterator[str]], column: str
) -> list[int]:
    """The numbers of the shared values that turns name in this column, and that say it."""
    sql = f"SELECT id, value FROM shapes WHERE id IN ({_SHAPES[column]})"
    return [row["id"] for row in store.rows(sql) if any(map(found, read(row["value"])))]


def _ids_saying(
    store: Store, table: str, columns: said_texts.Columns, found: Says
) -> tuple[str, ...]:
    rows = store.rows(f"SELECT id, {', '.join(columns)} FROM {table}")
    return tuple(row["id"] for row in rows if _found_in(found, columns, row))


def _found_in(found: Says, columns: said_texts.Columns, row: Any) -> bool:
    return any(map(found, said_texts.texts_of(columns, row)))


def _in_json(text: str, body: str) -> bool:
    """Whether a text stands in JSON, however that escapes it."""
    return (
        text in body
        or json.dumps(text)[1:-1] in body
        or (json.dumps(text, ensure_ascii=False)[1:-1] in body)
    )
