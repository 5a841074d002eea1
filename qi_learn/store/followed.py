"""The suggestions that are followed, loaded and written back.

They are loaded in one query with what following them needs, and written in one transaction with
what follows for their turns.

A query chooses turns and gives all suggestions of each, so that what became of a turn can be
derived from what was loaded. It may choose more than is concerned: `track` decides.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qi_learn.fates import ACCEPTED_SIMILARITY
from qi_learn.records import Suggestion, Tracked, TurnChange, TurnHead, Waiting
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_outcome, save_implicit, save_outcome, update_suggestion
from qi_learn.store.rows import record
from qi_learn.store.shapes import join_request
from qi_learn.store.turns import set_project

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

ASKED_TO_GO_ON = "t.endpoint IN ('/api/generate', '/v1/completions')"
"""Whether a turn `t` came by a route on which a text is continued."""
_TRACKED = """
    SELECT s.*, t.endpoint, t.started, t.ended, t.status, t.project, t.cancelled,
           q.content AS prompt,
           iif(q.hash IS NULL, NULL, t.request) AS request,
           iif(q.hash IS NULL, NULL, t.shape) AS shape
    FROM turns t JOIN suggestions s ON s.turn_id = t.id
         LEFT JOIN messages q ON q.hash = t.tip AND q.role = 'prompt'
    WHERE t.id IN ({turns}) ORDER BY t.ended, t.id, s.ordinal
"""
_PLACED = """
    SELECT s.turn_id FROM suggestions s CROSS JOIN turns t ON t.id = s.turn_id
    WHERE s.placed_at >= :placed AND t.project = :project AND s.state IN ('placed', 'settled')
"""
"""CROSS JOIN: suggestions are read first, by their index (few are placed, of many turns)."""
_RECENT = """
    UNION SELECT id FROM turns WHERE ended >= :ended
"""
"""Of every project: the one that is believed says nothing of where an answer is put."""
_IN_A_PROJECT = _TRACKED.format(turns=f"{_PLACED} {_RECENT}")
_OF_FILE = f"""
    {_PLACED} AND s.file = :file
    UNION {_PLACED} AND s.region IS NULL AND s.touched_at >= :ended
    UNION {_PLACED} AND s.region IS NOT NULL AND s.similarity < :accepted
          AND s.touched_at >= :ended
"""
"""Each part has its own index: an OR would read all that was placed, at every save."""
_NAMED = "SELECT value FROM json_each(:turns)"
_IN_A_FILE = _TRACKED.format(turns=f"{_OF_FILE} {_RECENT}")
_IN_A_FILE_OF_TURNS = _TRACKED.format(turns=f"{_OF_FILE} UNION {_NAMED}")
_OF_TURNS = _TRACKED.format(turns=_NAMED)
_WAITING = f"""
    SELECT s.turn_id, s.ordinal, t.started, t.ended,
           s.start = 0 AND {ASKED_TO_GO_ON} AS completion,
           s.sign IS NOT NULL AS left_out
    FROM turns t JOIN suggestions s ON s.turn_id = t.id
    WHERE t.id IN (SELECT NULL {_RECENT})
      AND t.status = 200 AND t.started <= :saved AND s.state IN ('waiting', 'unknown')
    ORDER BY t.ended, t.id, s.ordinal
"""
DUE_AT_ONCE = 100
"""The most suggestions in each state that one round looks at because their time has come."""
_DUE = _TRACKED.format(
    turns=" UNION ".join(
        f"""
        SELECT turn_id FROM (SELECT turn_id FROM suggestions
                             WHERE state = '{state}' AND since <= {until} AND since IS NOT NULL
                             ORDER BY since LIMIT {DUE_AT_ONCE})
        """
        for state, until in (
            ("waiting", ":window_end"),
            ("placed", ":now - :settle"),
            ("settled", ":looked_at"),
        )
    )
)


def load_followed(
    store: Store,
    project: str,
    guard: StepGuard,
    *,
    placed: float,
    ended: float = math.inf,
    file: str | None = None,
    turns: Collection[str] | None = None,
    accepted: float = ACCEPTED_SIMILARITY,
) -> tuple[Tracked, ...]:
    """What a save or a commit in a project may change, oldest first.

    These are the turns with a suggestion that was placed at `placed` or later, and those that ended
    at `ended` or later. The latter may be of any project: that the answer is found in a file is
    what makes it known. With `file`, of what was placed only what is in that file, and what went,
    or gave way to something less like it than `accepted`, since `ended` and may have come again in
    it. With `turns` too, only those of the latter.
    """
    values: dict[str, object] = {"project": project, "placed": placed, "ended": ended}
    values |= {"file": file, "accepted": accepted}
    if turns is not None:
        values["turns"] = _listed(turns)
        return _understood(store, _IN_A_FILE_OF_TURNS, values, guard)
    return _understood(store, _IN_A_PROJECT if file is None else _IN_A_FILE, values, guard)


def load_turns(store: Store, turns: Collection[str], guard: StepGuard) -> tuple[Tracked, ...]:
    """The suggestions of some turns."""
    return _understood(store, _OF_TURNS, {"turns": _listed(turns)}, guard)


def load_waiting(store: Store, *, ended: float, saved: float) -> tuple[Waiting, ...]:
    """The suggestions that a save may place, by the ends of their turns, without their texts.

    Those of turns that ended at `ended` or later and began before the save.
    """
    values = {"ended": ended, "saved": saved}
    return tuple(Waiting(*row) for row in store.rows(_WAITING, values))


def _listed(turns: Collection[str]) -> str:
    return json.dumps(sorted(turns))


def load_due(
    store: Store,
    now: float,
    guard: StepGuard,
    *,
    settle: float,
    window_end: float,
    looked_at: float,
) -> tuple[Tracked, ...]:
    """What time alone may change, oldest first: the turns with

    * a placed suggestion that was not touched for `settle` seconds,
    * a waiting one, if the turn ended by `window_end`,
    * one that was settled by a commit and last looked at by `looked_at`, at most a week after it
      was placed.
    """
    values = {"now": now, "settle": settle, "window_end": window_end, "looked_at": looked_at}
    return _understood(store, _DUE, values, guard)


def next_due(store: Store, *, settle: float, look: float) -> float | None:
    """When the next suggestion that was placed is due (Unix seconds); None if none is."""
    waits = {"placed": settle, "settled": look}
    times = [
        since + wait
        for state, wait in waits.items()
        if (since := _oldest(store, state)) is not None
    ]
    return min(times, default=None)


def oldest_waiting(store: Store) -> float | None:
    """When the oldest answer ended that has a suggestion that waits; None if none does."""
    return _oldest(store, "waiting")


def _oldest(store: Store, state: str) -> float | None:
    sql = "SELECT min(since) AS since FROM suggestions WHERE state = ? AND since IS NOT NULL"
    row = store.row(sql, (state,))
    return None if row is None or row["since"] is None else float(row["since"])


def save_changes(store: Store, changes: Sequence[Redacted[TurnChange]]) -> None:
    """Store what became of suggestions, all of it or nothing, and mark their turns.

    No changes: nothing is written, and no transaction begun. Raises NotFound if a suggestion was
    never saved.
    """
    if not changes:
        return
    with store.transaction():
        for change in changes:
            _save_change(store, change)


def _save_change(store: Store, clean: Redacted[TurnChange]) -> None:
    change = clean.value
    if change.project is not None:
        set_project(store, change.turn_id, change.project)
    for suggestion in clean.each("suggestions"):
        update_suggestion(store, suggestion)
    save_implicit(store, change.turn_id, clean.part("feedback"))
    # a bug that no fix blames, or blames any more, is unknown
    blamed = True if change.bug_introduced else None
    outcome = load_outcome(store, change.turn_id)
    if outcome.bug_introduced is not blamed:
        save_outcome(store, change.turn_id, replace(outcome, bug_introduced=blamed))


def _understood(
    store: Store, sql: str, values: Mapping[str, Any], guard: StepGuard
) -> tuple[Tracked, ...]:
    """What a query chooses, without the turns of which a row cannot be understood.

    Such a turn is set aside as a whole, since what became of it follows from all its suggestions.
    It is not due any more: else it would be in each round.
    """
    tracked: list[Tracked] = []
    damaged: set[str] = set()
    for row in store.rows(sql, values):
        try:
            tracked.append(_tracked(store, row))
        except guard.failures as error:
            guard.note("suggestion", f"{row['turn_id']} {row['ordinal']}", error)
            damaged.add(row["turn_id"])
    for turn_id in damaged:
        sql = "UPDATE suggestions SET since = NULL WHERE turn_id = ? AND since IS NOT NULL"
        store.execute(sql, (turn_id,))
    return tuple(each for each in tracked if each.turn.id not in damaged)


def _tracked(store: Store, row: sqlite3.Row) -> Tracked:
    head = (row["endpoint"], row["started"], row["ended"], row["status"], row["project"])
    return Tracked(
        record(Suggestion, row),
        TurnHead(row["turn_id"], *head, cancelled=bool(row["cancelled"])),
        row["prompt"] or "",
        join_request(store.conn, row["request"], row["shape"]),
    )
