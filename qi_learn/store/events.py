"""Every event ever taken in.

The row is what makes an event count once. Of kinds without a table of their own (git, hook, edit)
it is all there is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qi_learn import codec
from qi_learn.records import Event, EventKind
from qi_learn.store.database import Store

if TYPE_CHECKING:
    from qi_learn.redact import Redacted


def save_event(store: Store, clean: Redacted[Event], *, taken: float) -> bool:
    """Store an event that was taken in at the time `taken`.

    False if one with its id was there already.
    """
    event = clean.value
    body = codec.dumps(event.body) if event.body else None
    plain = ("id", "kind", "ts", "source", "author", "project")
    values = (*(getattr(event, name) for name in plain), body, taken)
    return store.insert("events", (*plain, "body", "taken"), values) > 0


_SENT_AGAIN = '{"left_out":"history"}'
"""The body that stays of a turn which sent again what was left out before."""


def drop_turn_event(store: Store, turn: str, *, sent_again: bool) -> None:
    """Take its project from the event of a turn that is not stored.

    With a note if that is because it sent again what was left out before.
    """
    body = _SENT_AGAIN if sent_again else None
    store.execute("UPDATE events SET project = NULL, body = ? WHERE id = ?", (body, turn))


def sent_again(store: Store, since: float) -> int:
    """How many turns since then were not stored, because they sent what was left out before."""
    sql = "SELECT count(*) FROM events WHERE kind = 'turn' AND ts >= ? AND body = ?"
    return int(store.rows(sql, (since, _SENT_AGAIN))[0][0])


KEPT = 90 * 86400.0
"""Seconds for which events without a table of their own are kept."""
EXPIRED_AT_ONCE = 500


def expire_events(
    store: Store, now: float, before: float | None = None, limit: int = EXPIRED_AT_ONCE
) -> int:
    """Delete old events of kinds without a table of their own, a few at once; how many.

    Those that came in more than `KEPT` ago, or before `before` if that is later.

    That an event was taken in has not to be known any longer: its line is gone long ago.
    """
    sql = """
        DELETE FROM events WHERE id IN (
            SELECT id FROM events
            WHERE kind IN ('git', 'hook', 'edit') AND taken < ? ORDER BY taken LIMIT ?
        )
    """
    return store.execute(sql, (max(now - KEPT, before or 0.0), limit))


def events_of(
    store: Store, kind: EventKind, *, since: float = 0.0, project: str | None = None
) -> list[Event]:
    """The events of one kind as they are kept, oldest first.

    The body of a turn is not here but in `turns`.
    """
    sql = """
        SELECT * FROM events
        WHERE kind = ?1 AND ts >= ?2 AND (?3 IS NULL OR project = ?3) ORDER BY ts, id
    """
    return [
        Event(
            row["id"],
            row["kind"],
            row["ts"],
            row["source"],
            json.loads(row["body"] or "{}"),
            row["author"],
            row["project"],
        )
        for row in store.rows(sql, (kind, since, project))
    ]
