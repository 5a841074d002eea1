"""Whether the gateway has recorded an exchange that another program's log tells too.

Then the log's turn is not stored a second time; what the program says of it is about the recorded
one. Known again by what was answered and about when: clients note their own times.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from qi_learn.records import Message, Turn
from qi_learn.store.database import Store
from qi_learn.store.turns import message_hash

NEAR_SECONDS = 120.0
"""How far the two ends may lie apart: a client logs a completion when the person has decided."""
SHORTEST = 16
"""Characters from which on the beginning of a completion is one: clients cut what they show."""
_NEAR = """
    SELECT t.id, m.content, m.extra FROM turns t
    JOIN messages m ON m.hash = t.answer JOIN events e ON e.id = t.id
    WHERE t.ended BETWEEN ?1 - ?3 AND ?2 + ?3 AND e.source = 'gateway'
    ORDER BY abs(t.ended - ?2), t.id
"""


def recorded_answer(
    store: Store,
    answer: str,
    calls: Collection[str],
    *,
    started: float,
    ended: float,
    shown: bool = False,
) -> str | None:
    """The turn that the gateway recorded with this answer (redacted) at about that time, or None.

    `calls`: ids of its tool calls. `shown`: the answer is a completion as a client shows it, so it
    may be the beginning of what was answered.
    """
    for row in store.rows(_NEAR, (started, ended, NEAR_SECONDS)):
        stored = str(row["content"])
        if calls:
            if _calls(row["extra"]) & set(calls):
                return str(row["id"])
        elif answer.strip() and _same(answer.strip(), stored.strip(), shown=shown):
            return str(row["id"])
    return None


def answered_in(store: Store, turn: Turn) -> str | None:
    """The turn that is stored with the same conversation (redacted) and answer, or None."""
    parent = ""
    for message in (*turn.messages, Message("assistant", turn.answer, turn.answer_extra)):
        parent = message_hash(parent, message)
    row = store.row("SELECT id FROM turns WHERE answer = ? ORDER BY started, id", (parent,))
    return None if row is None else str(row["id"])


def committed_answer(store: Store, commit: str) -> bool:
    """Whether a commit settled something that a model suggested."""
    sql = 'SELECT 1 FROM suggestions WHERE "commit" = ? LIMIT 1'
    return store.row(sql, (commit,)) is not None


def _same(answer: str, stored: str, *, shown: bool) -> bool:
    return answer == stored or (shown and len(answer) >= SHORTEST and stored.startswith(answer))


def _calls(extra: str | None) -> set[str]:
    made = json.loads(extra).get("tool_calls") if extra else None
    return {str(call.get("id")) for call in made or () if call.get("id")}
