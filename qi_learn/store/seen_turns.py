"""The last answer that a person saw: the one that `last` means.

Not a completion, which is a ghost at the cursor, and none that a client asked for by itself (a
title, tags), none that failed, was cut off by the person or says nothing but calls of tools.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.fim import is_chat
from qi_learn.records import Turn
from qi_learn.side_requests import is_side_request
from qi_learn.store.database import Store
from qi_learn.store.turns import SPOOL_PRECISION, load_turn

LOOKED_THROUGH = 500
"""The most answers that are looked at for the last that was seen: a day of completions."""


def newest_turn(
    store: Store, project: str | None, *, before: float, known: int | None = None
) -> str | None:
    """The newest answer of a project (None: of any) that was seen whole at the time `before`.

    `known`: how many turns there were already then (`turns_known`): the last of those counts even
    if a clock that was set back since says that it came later.
    """
    if project is None:
        return _newest(store, "", (), before, known)
    return _newest(store, "project = ? AND", (project,), before, known)


def newest_stray(store: Store, *, before: float, known: int | None = None) -> str | None:
    """The same as `newest_turn`, among the answers of an unknown project."""
    return _newest(store, "project IS NULL AND", (), before, known)


def was_seen(turn: Turn) -> bool:
    """Whether a person saw the answer as one to a question of their own."""
    if turn.status != 200 or turn.cancelled or not turn.answer.strip():
        return False
    prompt = turn.messages[-1].content if turn.messages else ""
    continued = turn.endpoint == "/v1/completions" or (
        turn.endpoint == "/api/generate"
        and bool(turn.request.get("raw") or turn.request.get("suffix"))
    )
    return not (continued and not is_chat(prompt)) and not is_side_request(turn)


def _newest(
    store: Store, which: str, values: tuple[str, ...], before: float, known: int | None
) -> str | None:
    sql = f"""
        SELECT id, rowid AS number, ended FROM turns
        WHERE {which} ended <= ? AND status = 200 AND NOT cancelled
        ORDER BY ended DESC, id DESC LIMIT {LOOKED_THROUGH}
    """
    found = next(_seen(store, sql, (*values, before + SPOOL_PRECISION)), None)
    if known is not None and (found is None or found[1] <= known):
        sql = f"""
            SELECT id, rowid AS number, ended FROM turns
            WHERE {which} status = 200 AND NOT cancelled AND rowid <= ?
            ORDER BY rowid DESC LIMIT {LOOKED_THROUGH}
        """
        last = next(_seen(store, sql, (*values, known)), None)
        if last is not None and last[2] > before + SPOOL_PRECISION:
            return last[0]
    return None if found is None else found[0]


def _seen(store: Store, sql: str, values: tuple[object, ...]) -> Iterator[tuple[str, int, float]]:
    """Id, number and end of those turns of a query that were seen."""
    for row in store.rows(sql, values):
        if was_seen(load_turn(store, row["id"])):
            yield str(row["id"]), int(row["number"]), float(row["ended"])
