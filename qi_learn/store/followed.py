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
from collections.abc import Sequence
from dataclasses import replace

from qi_learn.records import Suggestion, Tracked, TurnChange, TurnHead
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_outcome, save_implicit, save_outcome, update_suggestion
from qi_learn.store.rows import record
from qi_learn.store.turns import set_project

_TRACKED = """
    SELECT s.*, t.endpoint, t.started, t.ended, t.status, t.project, q.content AS prompt,
           iif(q.hash IS NULL, NULL, t.request) AS request
    FROM turns t JOIN suggestions s ON s.turn_id = t.id
         LEFT JOIN messages q ON q.hash = t.tip AND q.role = 'prompt'
    WHERE t.id IN ({turns}) ORDER BY t.ended, t.id, s.ordinal
"""
_IN_A_PROJECT = _TRACKED.format(
    turns="""
        SELECT s.turn_id FROM suggestions s JOIN turns t ON t.id = s.turn_id
        WHERE s.state IN ('placed', 'settled') AND s.placed_at >= ?2 AND t.project = ?1
              AND (?4 IS NULL OR s.file = ?4 OR (s.region IS NULL AND s.touched_at >= ?3))
        UNION SELECT id FROM turns
        WHERE ended >= ?3 AND (project = ?1 OR project IS NULL)
    """
)
_DUE = _TRACKED.format(
    turns="""
        SELECT turn_id FROM suggestions
        WHERE state = 'placed' AND ?1 - coalesce(touched_at, 0) >= ?2
        UNION SELECT s.turn_id FROM suggestions s JOIN turns t ON t.id = s.turn_id
        WHERE s.state = 'waiting' AND s.touched_at IS NOT NULL AND t.ended BETWEEN ?3 AND ?4
        UNION SELECT turn_id FROM suggestions
        WHERE state = 'settled' AND "commit" IS NOT NULL AND placed_at >= ?3 AND settled_at <= ?5
    """
)


def load_followed(
    store: Store, project: str, *, placed: float, ended: float = math.inf, file: str | None = None
) -> tuple[Tracked, ...]:
    """What a save or a commit in a project may change, oldest first.

    These are the turns with a suggestion that was placed at `placed` or later, and those that ended
    at `ended` or later. The latter may be of an unknown project: that the answer is found in a file
    is what makes it known. With `file`, of what was placed only what is in that file, and what went
    since `ended` and may have come again in it.
    """
    rows = store.rows(_IN_A_PROJECT, (project, placed, ended, file))
    return tuple(_tracked(row) for row in rows)


def load_due(
    store: Store, now: float, *, settle: float, since: float, window_end: float, looked_at: float
) -> tuple[Tracked, ...]:
    """What time alone may change, oldest first: the turns with

    * a placed suggestion that was not touched for `settle` seconds,
    * a waiting one that a save passed by, if the turn ended from `since` up to `window_end`,
    * one that was placed since `since` and settled by a commit, and last looked at by `looked_at`.
    """
    rows = store.rows(_DUE, (now, settle, since, window_end, looked_at))
    return tuple(_tracked(row) for row in rows)


def save_changes(store: Store, changes: Sequence[TurnChange]) -> None:
    """Store what became of suggestions, all of it or nothing, and mark their turns.

    No changes: nothing is written, and no transaction begun. Raises NotFound if a suggestion was
    never saved.
    """
    if not changes:
        return
    with store.transaction():
        for change in changes:
            _save_change(store, change)


def _save_change(store: Store, change: TurnChange) -> None:
    if change.project is not None:
        set_project(store, change.turn_id, change.project)
    for suggestion in change.suggestions:
        update_suggestion(store, suggestion)
    save_implicit(store, change.turn_id, change.feedback)
    if change.bug_introduced:
        outcome = load_outcome(store, change.turn_id)
        save_outcome(store, change.turn_id, replace(outcome, bug_introduced=True))


def _tracked(row: sqlite3.Row) -> Tracked:
    head = (row["endpoint"], row["started"], row["ended"], row["status"], row["project"])
    return Tracked(
        record(Suggestion, row),
        TurnHead(row["turn_id"], *head),
        row["prompt"] or "",
        json.loads(row["request"]) if row["request"] else {},
    )
