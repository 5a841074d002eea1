"""Every row of every table, as it is stored: for a person who wants to see all that is kept.

Rows are read one after the other within one read transaction, so what is shown belongs together and
memory does not grow with the database. Texts that are no UTF-8 (a damaged row) are shown with signs
in their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qi_learn.store.database import Store, _translated

JSON_COLUMNS: Mapping[str, frozenset[str]] = {
    "turns": frozenset(("options", "request", "shape", "context", "tools")),
    "messages": frozenset(("extra",)),
    "events": frozenset(("body",)),
    "suggestions": frozenset(("before", "after", "head")),
    "survival": frozenset(("lines",)),
    "scores": frozenset(("signals", "target_reasons")),
    "runs": frozenset(("plan", "train", "verdict")),
    "shapes": frozenset(("value",)),
    "audit": frozenset(("body",)),
}
"""Columns that hold JSON, by table: shown as what they hold."""
WORDS: Mapping[str, str] = {
    "events": "every event that was taken in: id, kind, time, source, and its content if it is "
    "nowhere else",
    "messages": "each distinct message of your conversations, with the hash of the one before it",
    "turns": "each request with its answer: `question` and `answer_text` are the last message and "
    "the answer, `tip` and `answer` their hashes in messages",
    "shapes": "parts of requests that come again and again (tools, system texts), and the context "
    "of your projects",
    "suggestions": "each block of code that was suggested, and what became of it in your files",
    "survival": "how many of its lines are left at its commit, a day and a week later",
    "feedback": "what follows from that for the answer as a whole",
    "ratings": "the ratings that you gave, with comments and corrections",
    "commands": "commands that tested, built, deployed or measured, and how they ended",
    "replies": "which request has what you wrote after an answer",
    "unseen": "which suggestions a test command did not run, by its report of coverage",
    "outcomes": "what those commands say of answers",
    "answer_facts": "what was found out about the code of answers: does it parse, which names",
    "scores": "what answers were worth, with the reasons, and the text that may be learned",
    "candidates": "answers that may become examples, or why they may not",
    "domains": "how many turns each project has in each domain",
    "runs": "learning cycles: plan, result, verdict",
    "run_examples": "which turn was in which cycle's data set",
    "releases": "versions of the model",
    "moves": "when which version went live",
    "monitored_pairs": "how the live version did beside the one before it, on work after it went "
    "live",
    "monitored_texts": "which answers that was measured on: numbers, no text",
    "audit": "the chained journal of changes to model and data",
    "spool_positions": "how far each file of the spool was taken in",
    "saves": "when files were saved, to ten seconds and without their names: what counts as work",
    "backfill": "how far older rows were brought into a newer form",
    "forgotten": "answers that were forgotten: id, time and a keyed hash, no text",
    "forgotten_messages": "keyed hashes of messages that went with them, or came in a pause",
    "forgotten_spans": "spans of time from which nothing is stored that comes late",
    "forgotten_runs": "which learning cycles had them in their data set",
}
"""What each table holds (a test holds it to the schema)."""
_OWN = ("sqlite_%", "_sqlite%")
"""Tables of SQLite and of the migrations."""
_TURNS = """
    SELECT t.*, q.content AS question, a.content AS answer_text FROM turns t
    LEFT JOIN messages q ON q.hash = t.tip LEFT JOIN messages a ON a.hash = t.answer
"""


@contextmanager
def one_moment(store: Store) -> Iterator[None]:
    """Read everything as it is at one moment, whatever is written meanwhile."""
    text_factory = store.conn.text_factory
    store.conn.text_factory = _text
    store.execute("BEGIN")
    try:
        yield
    finally:
        store.execute("ROLLBACK")
        store.conn.text_factory = text_factory


def tables(store: Store) -> tuple[str, ...]:
    """The names of the tables that hold what was recorded."""
    rows = store.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    heads = tuple(pattern.rstrip("%") for pattern in _OWN)
    return tuple(str(row[0]) for row in rows if not str(row[0]).startswith(heads))


def rows_of(store: Store, table: str) -> Iterator[dict[str, Any]]:
    """The rows of a table, with the names of their columns. Raises StoreError."""
    sql = _TURNS if table == "turns" else f'SELECT * FROM "{table}"'
    columns = JSON_COLUMNS.get(table, frozenset())
    with _translated(store.path):
        for row in store.conn.execute(sql):
            yield {
                name: _shown(row[name], as_json=name in columns)
                for name in row.keys()  # noqa: SIM118 - a row iterates over its values
            }


def _shown(value: Any, *, as_json: bool) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if as_json and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
