"""The audit journal: every change of model or data.

It is append-only, each entry sealed by the hash of the one before.

An entry says what was done to what, never what a person wrote, so nothing in it ever has to be
forgotten. Triggers refuse to change or delete a row. `verify` finds what was done around them, a
cut-off end included. What is not covered: an attacker who rewrites the whole file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qi_learn import codec
from qi_learn.store.database import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    number: int
    ts: float
    what: str
    body: Mapping[str, Any]
    hash: str


def append(store: Store, ts: float, what: str, body: Mapping[str, Any]) -> str:
    """Add an entry, for example `release switched`; returns its hash."""
    from qi_learn.store.own_redactor import redactor_of  # readers of the journal need none

    text = codec.dumps(redactor_of(store).clean(body).value)
    with store.transaction():
        last = store.row("SELECT hash FROM audit ORDER BY number DESC LIMIT 1")
        previous = "" if last is None else last["hash"]
        seal = seal_of(previous, ts, what, text)
        store.insert(
            "audit", ("ts", "what", "body", "previous", "hash"), (ts, what, text, previous, seal)
        )
    return seal


def entries(store: Store, *, limit: int) -> list[Entry]:
    """The newest entries first."""
    rows = store.rows("SELECT * FROM audit ORDER BY number DESC LIMIT ?", (limit,))
    return [
        Entry(row["number"], row["ts"], row["what"], json.loads(row["body"]), row["hash"])
        for row in rows
    ]


def verify(store: Store) -> list[str]:
    """What is wrong with the chain of entries, in words; empty if nothing is."""
    wrong, previous, number = [], "", 0
    for row in store.rows("SELECT * FROM audit ORDER BY number"):
        number += 1
        if row["number"] != number:
            wrong.append(f"audit entry {number}: missing")
            number = row["number"]
        if row["previous"] != previous:
            wrong.append(f"audit entry {number}: does not follow the one before it")
        if row["hash"] != seal_of(row["previous"], row["ts"], row["what"], row["body"]):
            wrong.append(f"audit entry {number}: was changed")
        previous = row["hash"]
    given = store.row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
    if given is not None and given["seq"] != number:
        wrong.append(f"audit: {given['seq']} entries were made, the journal ends with {number}")
    return wrong


def seal_of(previous: str, ts: float, what: str, body: str) -> str:
    """The hash of an entry; `previous`: that of the one before."""
    return hashlib.sha256(json.dumps([previous, ts, what, body]).encode("ascii")).hexdigest()
