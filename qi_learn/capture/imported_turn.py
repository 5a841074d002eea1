"""A turn that came from another program's log, or back from an export of our own.

What the importer says of it (`imported` in the body) is kept in the turn's `request`, beside the
other things that say how its text came to be: `from` (the source), `local` (whether a model on this
machine answered; null if that is not known) and `whole` (whether the log held all that the model
read). `dataset/select.py` learns nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.capture.wire_stream import member, text_or_none
from qi_learn.codec import build
from qi_learn.records import Event, Turn

MARK = "imported"


def imported_mark(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept with the request of an imported turn; empty for one of the gateway's."""
    told = member(body, MARK)
    if (source := text_or_none(told.get("from"))) is None:
        return {}
    local = told.get("local")
    mark = {
        "from": source,
        "local": local if isinstance(local, bool) else None,
        "whole": told.get("whole") is True,
    }
    return {MARK: mark}


def is_returning(event: Event) -> bool:
    """Whether a `turn` event has a turn as an export wrote it."""
    return isinstance(event.body.get("turn"), Mapping)


def returning_turn(event: Event) -> Turn:
    """The turn of an export, with the event's id and project.

    Raises ValueError if it is none, or has another id.
    """
    value = {**event.body["turn"], "project": event.project}
    try:
        turn = build(Turn, value)
    except (KeyError, AttributeError) as error:
        raise ValueError(f"not a turn: {error}") from error
    texts = (turn.id, turn.endpoint, turn.model_asked, turn.model_answered, turn.answer)
    if turn.id != event.id or not all(isinstance(text, str) for text in texts):
        raise ValueError("a turn with another id, or without its texts")
    return turn
