"""The session of a turn: the work that belongs together, which is learned or judged as a whole.

The first of these that says something (contracts 2):

1. The name that the client gives. Many clients give one and the same in every conversation (a
   user's id, a key of a cache), so a name that is there already counts for its own conversations,
   and for others that begin while it is in use. A conversation that begins later shows that the
   name says nothing of it.
2. The conversation: what the turn goes on from, told by the hash of what was said so far.
3. For completions, and for conversations whose beginning is not known, the project's newest turn.

A session is in use until `GAP` after its last turn, and for `LONGEST` after its first.
"""

from __future__ import annotations

from qi_learn.records import Turn
from qi_learn.store.database import Store

GAP = 1800.0
"""Seconds without a turn after which a session is over."""
LONGEST = 4 * 3600.0
"""Seconds after which a session is over, however busy it is."""
STEPS_BACK = 64
"""Messages between a turn and the one that it goes on from: results of tools, mostly."""
_BEGINS = frozenset(("system", "developer", "user"))
"""Whose words may stand in front of the first answer of a conversation."""


def session_of(store: Store, turn: Turn, tip: str = "") -> str:
    """The session of a turn that is not stored yet; `tip` is the hash of its last message.

    A session that a client named is joined by those alone that name it.
    """
    name = turn.session
    used = _in_use(store, name, turn) if name else False
    if name and used is None:
        return name
    before, goes_on = _before(store, turn, tip)
    if before is None and not used and _has_history(turn):
        before, goes_on = _newest(store, turn), False
    if before is not None and (used if before == name else _in_use(store, before, turn)):
        return before
    if name and (used or (goes_on and before == name)):
        return name
    return f"turns-from-{turn.id}"


def _before(store: Store, turn: Turn, tip: str) -> tuple[str | None, bool]:
    """The session of the turn that this one goes on from, and whether it does not repeat it.

    The nearest that is in use: a conversation may say again what another of an earlier day did.
    """
    nearest = _said_before(store, turn, tip, 1)
    if not nearest:
        return None, False
    if not _in_use(store, nearest[0][0], turn):
        passed = {nearest[0][0]}
        for session, goes_on in _said_before(store, turn, tip, STEPS_BACK + 1):
            if session not in passed and _in_use(store, session, turn):
                return session, goes_on
            passed.add(session)
    return nearest[0]


def _said_before(store: Store, turn: Turn, tip: str, most: int) -> list[tuple[str, bool]]:
    """The sessions in which this turn, or what it goes on from, was said last; nearest first."""
    sql = """
        WITH RECURSIVE said (hash, steps) AS (
            SELECT ?, 0
            UNION ALL
            SELECT messages.parent, steps + 1 FROM said JOIN messages USING (hash)
            WHERE messages.parent IS NOT NULL AND steps < ?
        )
        SELECT session, steps FROM said CROSS JOIN turns
            ON turns.rowid = (SELECT max(rowid) FROM turns WHERE tip = said.hash)
        WHERE project IS ? AND (session = ? OR session GLOB 'turns-from-*') LIMIT ?
    """
    rows = store.rows(sql, (tip, STEPS_BACK, turn.project, turn.session, most))
    return [(str(row["session"]), row["steps"] > 0) for row in rows]


def _newest(store: Store, turn: Turn) -> str | None:
    """The session of the project's newest turn, among those that no client named."""
    sql = """
        SELECT session FROM turns
        WHERE project IS ? AND session GLOB 'turns-from-*' AND ended BETWEEN ? AND ?
        ORDER BY ended DESC LIMIT 1
    """
    row = store.row(sql, (turn.project, turn.started - GAP, turn.ended))
    return None if row is None else str(row["session"])


def _in_use(store: Store, session: str, turn: Turn) -> bool | None:
    """Whether a session is in use at the time of a turn; None if it has no turn yet."""
    sql = """
        SELECT
            (SELECT ended FROM turns WHERE session = :session ORDER BY ended LIMIT 1) AS first,
            (SELECT ended FROM turns WHERE session = :session AND ended <= :now
             ORDER BY ended DESC LIMIT 1) AS last
    """
    row = store.row(sql, {"session": session, "now": turn.ended})
    if row is None or row["first"] is None:
        return None
    # if the clock was set back, or the turns came in another order, all of it may be later
    last = row["first"] if row["last"] is None else row["last"]
    near = abs(turn.started - last) <= GAP or turn.started <= last <= turn.ended
    return bool(near and turn.started - row["first"] <= LONGEST)


def _has_history(turn: Turn) -> bool:
    """Whether something was said before this turn, or it completes a text."""
    return any(message.role not in _BEGINS for message in turn.messages)
