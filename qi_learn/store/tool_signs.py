"""What a tool told of an edit that it was to make: applied, failed, or declined by the person.

A sign names its turn, and the tool call it is about; without a call it is about all that the turn
suggested. The invariant: a sign of a turn or a call that is not stored changes nothing, so it may
be told again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from qi_learn.records import Event, Said
from qi_learn.store.client_words import keep_word
from qi_learn.store.database import Store
from qi_learn.store.feedback import suggestions_of

if TYPE_CHECKING:
    from qi_learn.redact import Redacted, Redactor


def apply_sign(store: Store, clean: Redacted[Event], redactor: Redactor) -> int:
    """Store a `sign` event with the suggestions it is about; how many changed.

    Raises ValueError if it is none. Body: `{"turn": id, "said": "applied" | "failed" | "declined",
    "call": id | None}`.
    """
    body = clean.value.body
    turn, said, call = body.get("turn"), body.get("said"), body.get("call")
    if not isinstance(turn, str) or said not in get_args(Said):
        raise ValueError(f"a sign of {turn!r} that says {said!r}")
    changed = 0
    for suggestion in suggestions_of(store, turn):
        if call is None or suggestion.call == call:
            changed += keep_word(store, suggestion, cast(Said, said), redactor)
    return changed
