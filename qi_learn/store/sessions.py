"""The session of a turn: the work that belongs together, which is learned or judged as a whole.

The first of these that says something (contracts 2):

1. The name that the client gives. Many clients give one and the same in every conversation (a
   user's id, a key of a cache), so a name that is there already counts for its own conversations,
   and for others that begin while it is in use. A conversation that begins later shows that the
   name says nothing of it, and stays a session of its own. Some give another name in each
   request: of one conversation the second change of the name counts no more.
2. The conversation: what the turn goes on from, told by the hash of what was said so far,
   whatever project it is held for.
3. For completions, and for conversations whose beginning is not known, the project's newest turn;
   but not if another conversation goes on from the last answer that this one has: there they part.

A session is in use until `GAP` after its last turn, and for `LONGEST` after its first.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.records import Turn
from qi_learn.store.database import Store

GAP = 1800.0
"""Seconds without a turn after which a session is over."""
LONGEST = 4 * 3600.0
"""Seconds after which a session is over, however busy it is."""
STEPS_BACK = 64
"""Messages between a turn and the one that it goes on from: results of tools, mostly."""
ALIKE = 64
"""Turns with the very same words so far that are looked at, the newest of them."""
CONVERSATION = "turns-from-"
"""How the name of a session begins that no client gave: its first turn's id follows."""
_BEGINS = frozenset(("system", "developer", "user"))
"""Whose words may stand in front of the first answer of a conversation."""


def session_of(store: Store, turn: Turn, tip: str = "") -> str:
    """The session of a turn that is not stored yet; `tip` is the hash of its last message.

    A session that a client named is joined by those alone that name it, and by those of the same
    conversation that give one new name after the other.
    """
    name, known = turn.session, dict[str, bool | None]()

    def in_use(session: str) -> bool | None:
        if session not in known:
            known[session] = _in_use(store, session, turn)
        return known[session]

    if name and in_use(name) is None:
        same = _under_other_names(store, turn, tip)
        return name if same is None else same if in_use(same) else f"{CONVERSATION}{turn.id}"
    nearest = None
    for session, goes_on in _said_before(store, turn, tip):
        if in_use(session):
            return session
        nearest = nearest or (session, goes_on)
    if name and (in_use(name) or nearest == (name, True)):
        return name
    newest = None
    if not nearest and _has_history(turn) and not _parts_here(store, tip):
        newest = _newest(store, turn)
    return newest if newest and in_use(newest) else f"{CONVERSATION}{turn.id}"


def _said_before(
    store: Store, turn: Turn, tip: str, *, any_name: bool = False
) -> Iterator[tuple[str, bool]]:
    """The sessions in which what this turn goes on from was said last, or the turn itself.

    Each with whether it goes on from there; the nearest comes first, and is all that is mostly
    asked for. A conversation that says again what another of an earlier day did has others, and one
    that begins as another does is its own project's. `any_name`: also those of other names.
    """
    sql = f"""
        WITH RECURSIVE said (hash, steps) AS (
            SELECT :tip, 0
            UNION ALL
            SELECT messages.parent, steps + 1 FROM said JOIN messages USING (hash)
            WHERE messages.parent IS NOT NULL AND steps < {STEPS_BACK}
        )
        SELECT session, steps FROM said CROSS JOIN turns
            ON turns.rowid = (
                SELECT rowid FROM (
                    SELECT rowid, project FROM turns AS alike WHERE tip = said.hash
                    ORDER BY rowid DESC LIMIT {ALIKE}
                )
                ORDER BY project IS :project DESC, rowid DESC LIMIT 1
            )
        WHERE (steps > 0 OR project IS :project)
            AND (:any_name OR session = :session OR session GLOB '{CONVERSATION}*')
        LIMIT :most OFFSET :first
    """
    asked = {"tip": tip, "project": turn.project, "session": turn.session, "any_name": any_name}
    for most, first in ((1, 0), (STEPS_BACK, 1)):
        rows = store.rows(sql, {**asked, "most": most, "first": first})
        yield from ((str(row["session"]), row["steps"] > 0) for row in rows)
        if not rows:
            return


def _under_other_names(store: Store, turn: Turn, tip: str) -> str | None:
    """The session of the conversation that a turn with a new name goes on, if the name is nothing.

    So it is if that session itself goes on from another that a client named. Else None.
    """
    session, _ = next(_said_before(store, turn, tip, any_name=True), ("", False))
    sql = "SELECT tip FROM turns WHERE session = ? ORDER BY ended LIMIT 1"
    if not session or (first := store.row(sql, (session,))) is None:
        return None
    for before, goes_on in _said_before(store, turn, str(first["tip"]), any_name=True):
        if goes_on and before != session:
            return None if before.startswith(CONVERSATION) else session
    return None


def _parts_here(store: Store, tip: str) -> bool:
    """Whether something else was said already after the last answer that stands before a message.

    Some clients begin every conversation with the same answer, which no model gave (Qwen Code).
    """
    sql = f"""
        WITH RECURSIVE said (hash, parent, steps) AS (
            SELECT hash, parent, 0 FROM messages WHERE hash = :tip
            UNION ALL
            SELECT above.hash, above.parent, steps + 1
            FROM said JOIN messages AS above ON above.hash = said.parent
            WHERE above.role != 'assistant' AND steps < {STEPS_BACK}
        )
        SELECT 1 FROM (SELECT hash, parent FROM said ORDER BY steps DESC LIMIT 1) AS first
        JOIN messages AS answer ON answer.hash = first.parent AND answer.role = 'assistant'
        JOIN messages AS other ON other.parent = answer.hash AND other.hash != first.hash
        LIMIT 1
    """
    return store.row(sql, {"tip": tip}) is not None


def _newest(store: Store, turn: Turn) -> str | None:
    """The session of the project's newest turn, among those that no client named."""
    sql = f"""
        SELECT session FROM turns
        WHERE project IS ? AND session GLOB '{CONVERSATION}*' AND ended BETWEEN ? AND ?
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
