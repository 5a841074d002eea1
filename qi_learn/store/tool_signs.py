"""What a tool told of an edit that it was to make: applied, failed, or declined by the person.

A sign names its turn, and the tool call it is about; without a call it is about all that the turn
suggested. A hook knows no turn: its sign is about the newest edit with its call, or of its file and
text, that nothing was said of. The invariant: a sign of a turn or a call that is not stored changes
nothing, so it may be told again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from qi_learn.records import Event, Said, Suggestion
from qi_learn.store.client_words import keep_word
from qi_learn.store.database import Store
from qi_learn.store.feedback import suggestions_of

if TYPE_CHECKING:
    from qi_learn.redact import Redacted, Redactor

REACH = 86400.0
"""Seconds that an edit without a turn may be old: it may wait for the person's word so long."""
_SLACK = 2.0
"""Seconds by which a hook's clock (whole seconds) may be behind the gateway's."""
_BY_CALL = """
    SELECT s.turn_id FROM suggestions s JOIN turns t ON t.id = s.turn_id
    WHERE s.call = ?1 AND t.ended BETWEEN ?2 AND ?3 ORDER BY t.ended DESC LIMIT 1
"""
_BY_FILE = """
    SELECT DISTINCT s.turn_id FROM turns t CROSS JOIN suggestions s ON s.turn_id = t.id
    WHERE t.ended BETWEEN ?2 AND ?3 AND s.path = ?1 AND s.said IS NULL
    ORDER BY t.ended DESC LIMIT 20
"""


def apply_sign(store: Store, clean: Redacted[Event], redactor: Redactor) -> int:
    """Store a `sign` event with the suggestions it is about; how many changed.

    Raises ValueError if it is none. Body: `{"turn": id, "said": "applied" | "failed" | "declined",
    "call": id | None}`; of a hook `turn` is None, and without a call it has `path` and `new`.
    """
    body = clean.value.body
    turn, said, call = body.get("turn"), body.get("said"), body.get("call")
    if said not in get_args(Said):
        raise ValueError(f"a sign of {turn!r} that says {said!r}")
    if turn is None and (call or body.get("path")):
        found = _of_hook(store, body, clean.value.ts)
    elif isinstance(turn, str):
        found = [s for s in suggestions_of(store, turn) if call is None or s.call == call]
    else:
        raise ValueError("a sign that names no turn and no edit")
    return sum(keep_word(store, suggestion, cast(Said, said), redactor) for suggestion in found)


def without_text(event: Event) -> Event:
    """An event as it is kept: of a hook's sign not what it is found by, which may be forgotten."""
    if event.kind != "sign" or event.body.get("turn") is not None:
        return event
    return replace(event, body={k: v for k, v in event.body.items() if k in ("said", "by")})


def _of_hook(store: Store, body: Mapping[str, Any], ts: float) -> list[Suggestion]:
    """The edits that a hook's sign is about, of which nothing was said."""
    call, path, new = (body.get(name) for name in ("call", "path", "new"))
    statement, about = (_BY_CALL, call) if call else (_BY_FILE, path)
    for row in store.rows(statement, (about, ts - REACH, ts + _SLACK)):
        edits = [s for s in suggestions_of(store, row[0]) if s.said is None]
        if call:
            return [s for s in edits if s.call == call]
        same = [s for s in edits if s.path == path and s.text.strip() == str(new).strip()]
        if same:
            return same[:1]
    return []
