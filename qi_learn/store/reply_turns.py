"""What a person wrote after an answer: the beginning of the next request of the conversation.

Only where it stands is kept, so it is forgotten with its own turn. It is about all answers since
the person wrote last: an agent answers several times in between. The first message after an answer
counts, however the conversation was taken up again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from qi_learn.records import Turn
from qi_learn.side_requests import is_side_request
from qi_learn.store.database import Store
from qi_learn.store.feedback import mark_dirty

STEPS_BACK = 200
"""Messages before the last that are looked at: the results of an agent's tools, mostly."""
ANSWERS = 8
"""The last answers of a session among which the one is that a client sends in another form."""
_ABOVE = f"""
    WITH RECURSIVE above (hash, parent, role, content, steps) AS (
        SELECT hash, parent, role, content, 0 FROM messages WHERE hash = ?
        UNION ALL
        SELECT m.hash, m.parent, m.role, m.content, steps + 1 FROM messages m
        JOIN above ON m.hash = above.parent WHERE steps < {STEPS_BACK}
    ) SELECT hash, role, content FROM above ORDER BY steps
"""
_ANSWERED = """
    SELECT t.id FROM json_each(?) a JOIN turns t ON t.answer = a.value
    WHERE t.id <> ? AND t.ended <= ?
"""
_RECENT = f"""
    SELECT t.id, m.content FROM turns t JOIN messages m ON m.hash = t.answer
    WHERE t.session = ? AND t.id <> ? AND t.ended <= ? ORDER BY t.ended DESC LIMIT {ANSWERS}
"""
_SLACK = 0.001
"""The spool's times are whole milliseconds."""


def note_reply(store: Store, turn: Turn, tip: str) -> None:
    """Note of which answers the last message of a stored turn is the next; `tip` is its hash.

    Their turns are marked: their scores change.
    """
    if turn.status != 200 or [m.role for m in turn.messages[-1:]] != ["user"]:
        return
    if not any(m.role == "assistant" for m in turn.messages) or is_side_request(turn):
        return
    answers = _answers_before(store.rows(_ABOVE, (tip,)))
    until = turn.started + _SLACK
    hashes = json.dumps([row["hash"] for row in answers])
    found = {row["id"] for row in store.rows(_ANSWERED, (hashes, turn.id, until))}
    if answers and (said := answers[0]["content"].strip()):
        recent = store.rows(_RECENT, (turn.session, turn.id, until))
        found |= {next((row["id"] for row in recent if row["content"].strip() == said), "")} - {""}
    for id in sorted(found):
        row = "INSERT OR IGNORE INTO replies (turn_id, reply) VALUES (?, ?)"
        if store.execute(row, (id, turn.id)):
            mark_dirty(store, id)


def _answers_before(above: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """The answers between the person's last message and the one before it, the newest first."""
    first = next((n for n, row in enumerate(above) if row["role"] != "user"), len(above))
    answers = []
    for row in above[first:]:
        if row["role"] == "assistant":
            answers.append(row)
        elif row["role"] != "tool" or not answers:
            break
    return answers


def reply_to(store: Store, turn_id: str) -> str | None:
    """What a person wrote after a turn's answer; None if nothing is known of that."""
    sql = "SELECT t.tip FROM replies r JOIN turns t ON t.id = r.reply WHERE r.turn_id = ?"
    row = store.row(sql, (turn_id,))
    if row is None or row["tip"] is None:
        return None
    said: list[str] = []
    for each in store.rows(_ABOVE, (row["tip"],)):
        if each["role"] != "user":
            break
        said.append(each["content"])
    return "\n".join(reversed(said)) or None
