"""What is the same in many requests, stored once.

An agent sends its tools, its system text and its format with every request, and a project's context
is the same from commit to commit. Each distinct value is one row of `shapes`, found by its hash; a
turn keeps only the number. What is small, or different in each request, stays in the turn.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

SMALLEST = 200
"""Characters of JSON from which on a value is stored apart: a row and its index take about 150."""
OWN = frozenset(("suffix",))
"""Parts of a request that differ each time: the text behind the cursor."""
DROPPED = frozenset(("context",))
"""Parts of a request that are not kept: the numbers of the tokens of a conversation that is stored
as text.
"""


def split_request(
    conn: sqlite3.Connection, request: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """A request as its turn keeps it: its own parts, and the numbers of the others, as JSON."""
    own: dict[str, Any] = {}
    shared: dict[str, int] = {}
    for name, value in request.items():
        if name in DROPPED:
            continue
        text = _json(value)
        if name in OWN or len(text) < SMALLEST:
            own[name] = value
        else:
            shared[name] = ensure_shape(conn, text)
    return (_json(own) if own else None), (_json(shared) if shared else None)


def join_request(conn: sqlite3.Connection, own: str | None, shared: str | None) -> dict[str, Any]:
    """The request of which these are the parts."""
    request: dict[str, Any] = json.loads(own) if own else {}
    for name, number in (json.loads(shared) if shared else {}).items():
        request[name] = load_shape(conn, number)
    return request


def ensure_shape(conn: sqlite3.Connection, text: str) -> int:
    """The number of a value (as JSON), which is stored if it is new."""
    digest = _hash(text)
    row = conn.execute("SELECT id FROM shapes WHERE hash = ?", (digest,)).fetchone()
    if row is not None:
        return int(row[0])
    added = conn.execute("INSERT INTO shapes (hash, value) VALUES (?, ?)", (digest, text))
    return int(added.lastrowid or 0)


def load_shape(conn: sqlite3.Connection, number: int) -> Any:
    """The value with this number; None if the row is lost."""
    row = conn.execute("SELECT value FROM shapes WHERE id = ?", (number,)).fetchone()
    return None if row is None else json.loads(row[0])


def damaged_shapes(conn: sqlite3.Connection) -> list[str]:
    """What is wrong with the stored values, in words; each hash is derived again."""
    return [
        f"shape {row[0]}: its text is not what was stored"
        for row in conn.execute("SELECT id, hash, value FROM shapes")
        if _hash(row[2]) != row[1]
    ]


def _hash(text: str) -> str:
    from hashlib import sha256  # OpenSSL: a reader of turns needs none

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
