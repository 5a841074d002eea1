"""What a log tells as events of the spool, each with an id that is the same whenever it is read.

An id is a hash of the source and of the key there; what an export brings back has its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from qi_learn import codec
from qi_learn.commands.import_sources import ImportSource
from qi_learn.records import (
    Event,
    EventKind,
    ImportedTurn,
    ReturningCommand,
    ReturningTurn,
    ToolRating,
    ToolSign,
)
from qi_learn.store.returning import JOINED, KEY


def producer(source: str) -> str:
    """How the producer of an import's events is named."""
    return f"import-{source}"


def turn_event(
    item: ImportedTurn, name: str, source: ImportSource, project: str | None, *, local: bool
) -> Event:
    """The event of an exchange. `local`: a model on this machine answered, if the log has no word.

    `name`: that of the source.
    """
    body = {
        "endpoint": item.endpoint,
        "request": json.dumps(item.request, default=str),
        "response": json.dumps(item.response, default=str),
        "content_type": "application/json",
        "model_asked": item.model,
        "status": 200,
        "cancelled": item.cancelled,
        "session": item.session,
        "started": item.started,
        "ended": item.ended,
        "client": source.client,
        "imported": {
            "from": name,
            "local": True if local and item.local is None else item.local,
            "whole": item.whole,
        },
    }
    id = imported_id(name, item.key)
    return Event(id, "turn", item.ended, producer(name), body, source.author, project)


def returning_event(item: ReturningTurn, name: str, project: str | None) -> Event:
    """The event of a turn that comes back."""
    body = {"turn": dict(item.turn), KEY: codec.plain(item.became)}
    return Event(item.key, "turn", item.ended, producer(name), body, "model", project)


def command_event(item: ReturningCommand, name: str, project: str | None, cwd: str | None) -> Event:
    """The event of a command's result that comes back; `cwd`: its directory, as it is by now."""
    told = {**codec.plain(item.result), "cwd": cwd}
    body = {n: v for n, v in told.items() if v is not None and n not in ("id", "ts", "project")}
    body[JOINED] = item.joined
    id, ts = item.result.id, item.result.ts
    return Event(id, "outcome", ts, producer(name), body, "person", project)


def told_event(
    item: ToolSign | ToolRating, kind: EventKind, name: str, turn: str, body: Mapping[str, Any]
) -> Event:
    """The event of what a tool tells of a turn."""
    told = f"{item.key}\0{json.dumps(body, sort_keys=True)}\0{item.ts}"
    id = imported_id(f"{name} {kind}", told)
    return Event(id, kind, item.ts, producer(name), {"turn": turn, **body}, "person")


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def imported_id(source: str, key: str) -> str:
    """The id of what another program tells: the same each time, in the form of all ids."""
    text = f"qi-learn import\0{source}\0{key}".encode("utf-8", "surrogatepass")
    value = int.from_bytes(hashlib.sha256(text).digest()[:16])
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
