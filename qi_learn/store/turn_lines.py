"""The lines of `qi-learn log`: turns with the last message, the answer, rating and score of each.

Read newest first by an index, so that a page of them costs the same after a day and after years.
A search for words looks through the newest turns, down to a time that `searched_since` gives, so
that it ends soon in a home of years too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from qi_learn.fates import turn_fate
from qi_learn.record_class import dataclass
from qi_learn.records import Fate
from qi_learn.store.database import Store
from qi_learn.store.short_ids import short_id


@dataclass(frozen=True, slots=True)
class TurnLine:
    """One line of `qi-learn log`."""

    id: str
    started: float
    project: str | None
    endpoint: str
    model: str
    """The model that answered."""
    status: int
    cancelled: bool
    question: str
    """The last message of the request."""
    answer: str
    rating: int | None
    target_score: float | None
    redacted: bool
    short: str = ""
    """The shortest beginning of the id that names it."""
    complete: bool = True
    """False if the answer broke off."""
    fate: Fate | None = None
    """`kept`, `edited`, `rejected`, `superseded` or `unknown`; None if it suggested nothing."""
    state: str | None = None
    """How far it is: `waiting`, `placed`, `settled` or `unknown`; None if it suggested nothing."""
    never_learn: bool = False
    """Whether it is kept from learning (`forget --keep-record`)."""
    texts_gone: float | None = None
    """When its texts went because they had grown old; None while they are there."""
    textless: bool = False
    """Whether no texts of it were recorded, as with `gateway.record = "metadata"`."""


SEARCHED = 20_000
"""How many turns a search looks through, newest first, if no one asks for all of them."""


def list_turns(
    store: Store,
    *,
    limit: int,
    query: str | None = None,
    project: str | None = None,
    since: float | None = None,
) -> list[TurnLine]:
    """The newest turns, newest first.

    With `query`, those with that text in their last message or answer, upper and lower case alike.
    With `since`, those that ended then or later.
    """
    conditions = (
        *((_IN_PROJECT,) if project is not None else ()),
        *(("t.ended >= :since",) if since is not None else ()),
        *((_SAYS,) if query else ()),
    )
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    values = {"project": project, "query": query, "limit": limit, "since": since}
    return [_line(row) for row in store.rows(_LINES.format(where=where), values)]


def searched_since(store: Store, *, project: str | None = None) -> float | None:
    """When the oldest turn ended that a search looks at; None if it looks at all there are."""
    where = f"WHERE {_IN_PROJECT}" if project is not None else ""
    sql = f"SELECT t.ended FROM turns t {where} ORDER BY t.ended DESC LIMIT 2 OFFSET :before"
    found = store.rows(sql, {"project": project, "before": SEARCHED - 1})
    return float(found[0]["ended"]) if len(found) > 1 else None


_STATES = ("placed", "settled", "waiting", "unknown")
"""`placed` while one of several suggestions may still change in a file, else how far the one came
that came furthest: so `waiting` only if none was seen in a file.
"""
_IN_PROJECT = "t.project = :project"
_SAYS = """(instr(lower(coalesce(q.content, '')), lower(:query))
            OR instr(lower(a.content), lower(:query)))"""
_LINES = """
    SELECT t.id, t.started, t.project, t.endpoint, t.model_answered, t.status, t.cancelled,
           t.redacted, t.never_learn, t.texts_gone, t.complete,
           coalesce(t.texts_gone = (SELECT taken FROM events e WHERE e.id = t.id), 0) AS textless,
           q.content AS question, a.content AS answer, s.target_score,
           (SELECT group_concat(DISTINCT g.state) FROM suggestions g WHERE g.turn_id = t.id)
           AS states,
           (SELECT group_concat(DISTINCT coalesce(g.fate, 'open')) FROM suggestions g
            WHERE g.turn_id = t.id) AS fates,
           (SELECT max(n.id) FROM turns n WHERE n.id < t.id) AS before,
           (SELECT min(n.id) FROM turns n WHERE n.id > t.id) AS after,
           (SELECT rating FROM ratings r WHERE r.turn_id = t.id AND rating IS NOT NULL
            ORDER BY ts DESC, r.id DESC LIMIT 1) AS rating
    FROM turns t CROSS JOIN messages a ON a.hash = t.answer
         LEFT JOIN messages q ON q.hash = t.tip LEFT JOIN scores s ON s.turn_id = t.id
    {where} ORDER BY t.ended DESC, t.id DESC LIMIT :limit
"""
"""CROSS JOIN: turns are read first, in their order."""


def fate_word(fates: Collection[Fate | None]) -> Fate | None:
    """What became of a turn's suggestions, in a word (contracts 5); None if it has none.

    Unknown while that is open too.
    """
    return (turn_fate(fates) or "unknown") if fates else None


def _line(row: sqlite3.Row) -> TurnLine:
    states = row["states"].split(",") if row["states"] else []
    fates = row["fates"].split(",") if row["fates"] else []
    return TurnLine(
        id=row["id"],
        started=row["started"],
        project=row["project"],
        endpoint=row["endpoint"],
        model=row["model_answered"],
        status=row["status"],
        cancelled=bool(row["cancelled"]),
        question=row["question"] or "",
        answer=row["answer"],
        rating=row["rating"],
        target_score=row["target_score"],
        redacted=bool(row["redacted"]),
        never_learn=bool(row["never_learn"]),
        texts_gone=None if row["textless"] else row["texts_gone"],
        textless=bool(row["textless"]),
        short=short_id(row["id"], row["before"], row["after"]),
        complete=bool(row["complete"]),
        fate=fate_word([None if word == "open" else word for word in fates]),
        state=next((state for state in _STATES if state in states), None),
    )
