"""How the live version does beside the one before it, on texts that were kept since it is live.

The cycle's process reads both files and reports a session at a time (`cycle/monitor.py`); here it
is counted, once. The invariant: what is stored of a pair follows from the texts that are stored of
it. A turn that is forgotten, or never to be learned from, takes its text along, and the evidence is
what it would have been without.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from qi_learn import codec
from qi_learn.e_process import e_process, session_difference
from qi_learn.record_class import dataclass
from qi_learn.records import Event, Monitored, MonitoredSession, VersionPair
from qi_learn.store.database import Store

if TYPE_CHECKING:
    import sqlite3

    from qi_learn.redact import Redacted

ACTION = "monitored"
"""Of a `release` event that reports a session."""


@dataclass(frozen=True, slots=True)
class DueSession:
    """A session that is over and was not counted yet."""

    session: str
    turns: tuple[str, ...]
    """Ids of its turns that may be examples, oldest first, one of those that say the same."""


def apply_monitored(store: Store, clean: Redacted[Event]) -> None:
    """Store a `release` event that reports a session. Raises ValueError if it is not of its form.

    Body: `{"action": "monitored", "version", "monitored": MonitoredSession}`. A session that was
    counted before is not counted again, and a turn that went meanwhile is left out.
    """
    event = clean.value
    told = codec.build(MonitoredSession, event.body.get("monitored"))
    pair = told.pair
    with store.transaction():
        values = (pair.id, pair.live, pair.previous, pair.began, 0, 0, 0, 1.0, 1.0, 1.0, 1.0)
        names = ("id", "live", "previous", "began", "sessions", "texts", "tokens", *_EVIDENCE)
        rest = (0, event.ts, told.live_temperature, told.previous_temperature)
        rest_names = ("tokens_read", "updated", "live_temperature", "previous_temperature")
        store.insert("monitored_pairs", (*names, *rest_names), (*values, *rest))
        store.execute(
            "UPDATE monitored_pairs SET tokens_read = tokens_read + ?, updated = max(updated, ?) "
            "WHERE id = ?",
            (told.tokens_read, event.ts, pair.id),
        )
        if not _is_counted(store, pair.id, told.session):
            for text in told.texts:
                numbers = (text.tokens, text.live_nll, text.previous_nll)
                store.execute(
                    _ADD, (pair.id, text.turn, told.session, event.ts, *numbers, text.turn)
                )
        recount(store, [pair.id])


_EVIDENCE = ("worse", "worse_highest", "better", "better_highest")
_ADD = """
    INSERT OR IGNORE INTO monitored_texts
        (pair_id, turn_id, session, counted, tokens, live_nll, previous_nll)
    SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (
        SELECT 1 FROM turns WHERE id = ? AND NOT never_learn
    )
"""


def _is_counted(store: Store, pair: str, session: str) -> bool:
    sql = "SELECT 1 FROM monitored_texts WHERE pair_id = ? AND session = ? LIMIT 1"
    return store.row(sql, (pair, session)) is not None


def recount(store: Store, pairs: Iterable[str]) -> None:
    """Write what follows from the texts that are stored of these pairs (ids)."""
    for pair in pairs:
        rows = store.rows(
            "SELECT * FROM monitored_texts WHERE pair_id = ? AND tokens > 0 "
            "ORDER BY counted, session, turn_id",
            (pair,),
        )
        sessions = [list(texts) for _, texts in groupby(rows, key=lambda row: row["session"])]
        worse = e_process(_difference(texts) for texts in sessions)
        better = e_process(-_difference(texts) for texts in sessions)
        tokens = sum(row["tokens"] for row in rows)
        fall = math.fsum(row["live_nll"] - row["previous_nll"] for row in rows)
        counted = (len(sessions), len(rows), tokens, fall / tokens if tokens else None)
        evidence = (worse.now, worse.highest, better.now, better.highest)
        store.execute(_RECOUNTED, (*counted, *evidence, pair))


_RECOUNTED = """
    UPDATE monitored_pairs SET sessions = ?, texts = ?, tokens = ?, difference = ?, worse = ?,
        worse_highest = ?, better = ?, better_highest = ? WHERE id = ?
"""


def _difference(texts: Sequence[sqlite3.Row]) -> float:
    tokens = [row["tokens"] for row in texts]
    return session_difference(
        [(row["live_nll"] - row["previous_nll"]) / row["tokens"] for row in texts], tokens
    )


def pairs_with(store: Store, turns: Collection[str]) -> list[str]:
    """The pairs (ids) that have a text of these turns."""
    sql = """
        SELECT DISTINCT pair_id FROM monitored_texts
        WHERE turn_id IN (SELECT value FROM json_each(?)) ORDER BY pair_id
    """
    return [row["pair_id"] for row in store.rows(sql, (json.dumps(sorted(turns)),))]


def take_out(store: Store, turn: str) -> None:
    """Delete what was measured on a turn that stays; `recount` comes after."""
    store.execute("DELETE FROM monitored_texts WHERE turn_id = ?", (turn,))


# --- what is to be measured -----------------------------------------------------------------------


def went_live(store: Store, version: str) -> tuple[str, float] | None:
    """By which event a version went live last, and when; None if no such event is known."""
    row = store.row(
        "SELECT id, ts FROM moves WHERE action IN ('released', 'switched', 'rolled_back') "
        "AND version = ? ORDER BY ts DESC, id DESC LIMIT 1",
        (version,),
    )
    return None if row is None else (str(row["id"]), float(row["ts"]))


def due_sessions(
    store: Store,
    pair: VersionPair,
    *,
    threshold: float,
    learned_runs: Collection[str],
    before: float,
) -> tuple[DueSession, ...]:
    """The sessions whose new texts are to be measured, oldest first.

    Of a session whose last answer came `before` then: turns since the pair began, over the quality
    threshold, in which the person wrote something and which neither version has learned
    (`learned_runs`), nor one that says the same.
    """
    rows = store.rows(
        _DUE,
        {
            "pair": pair.id,
            "began": pair.began,
            "threshold": threshold,
            "runs": json.dumps(sorted(learned_runs)),
            "before": before,
        },
    )
    seen: set[str] = set()
    sessions: dict[str, list[str]] = {}
    for row in rows:
        if row["key"] not in seen:
            seen.add(row["key"])
            sessions.setdefault(row["session"], []).append(row["turn_id"])
    return tuple(DueSession(session, tuple(turns)) for session, turns in sessions.items())


_DONE = """
    SELECT turn_id FROM run_examples WHERE run_id IN (SELECT value FROM json_each(:runs))
    UNION ALL SELECT turn_id FROM monitored_texts WHERE pair_id = :pair
"""
_DUE = f"""
    SELECT c.turn_id, c.key, c.session FROM candidates c
    WHERE c.key IS NOT NULL AND c.own AND c.score >= :threshold AND c.started >= :began
        AND c.turn_id NOT IN ({_DONE})
        AND c.key NOT IN (
            SELECT key FROM candidates WHERE turn_id IN ({_DONE}) AND key IS NOT NULL
        )
        AND c.session NOT IN (SELECT session FROM monitored_texts WHERE pair_id = :pair)
        AND max(
            coalesce((SELECT max(ended) FROM turns WHERE session = c.session), 0), c.started
        ) < :before
    ORDER BY c.started, c.turn_id
"""


# --- what is known --------------------------------------------------------------------------------


def load_monitored(store: Store, pair_id: str) -> Monitored | None:
    """What is known of a pair; None if nothing was measured yet."""
    row = store.row("SELECT * FROM monitored_pairs WHERE id = ?", (pair_id,))
    return None if row is None else _monitored(row)


def list_monitored(store: Store, version: str) -> list[Monitored]:
    """What is known of the pairs in which a version was the live one, oldest first."""
    rows = store.rows("SELECT * FROM monitored_pairs WHERE live = ? ORDER BY began, id", (version,))
    return [_monitored(row) for row in rows]


def _monitored(row: sqlite3.Row) -> Monitored:
    names = (
        *("sessions", "texts", "tokens", "difference", *_EVIDENCE),
        *("tokens_read", "updated", "live_temperature", "previous_temperature"),
    )
    pair = VersionPair(row["id"], row["live"], row["previous"], row["began"])
    return Monitored(pair, **{name: row[name] for name in names})
