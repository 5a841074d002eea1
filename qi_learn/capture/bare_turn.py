"""A turn that was recorded without its texts (`gateway.record = "metadata"`)."""

from __future__ import annotations

from qi_learn.capture.wire_stream import text_or_none, whole_number
from qi_learn.records import Event, Turn


def is_bare(event: Event) -> bool:
    """Whether a `turn` event says that it has no texts."""
    return event.body.get("metadata") is True


def bare_turn(event: Event) -> Turn:
    """Times, models and counts of an exchange. Raises ValueError if one that it needs is missing.

    Only numbers and names are taken, whatever else the event has.
    """
    body = event.body
    asked, endpoint = text_or_none(body.get("model_asked")), text_or_none(body.get("endpoint"))
    status = whole_number(body.get("status"))
    if asked is None or endpoint is None or status is None:
        raise ValueError("a turn without endpoint, model or status")
    started, ended = (_time(body.get(name), event.ts) for name in ("started", "ended"))
    return Turn(
        id=event.id,
        endpoint=endpoint,
        model_asked=asked,
        model_answered=text_or_none(body.get("model_answered")) or asked,
        messages=(),
        answer="",
        started=started,
        ended=ended,
        model_digest=text_or_none(body.get("model_digest")),
        status=status,
        cancelled=body.get("cancelled") is True,
        complete=body.get("broken") is not True,
        done_reason=text_or_none(body.get("done_reason")),
        prompt_tokens=whole_number(body.get("prompt_tokens")),
        answer_tokens=whole_number(body.get("answer_tokens")),
        session=text_or_none(body.get("session")),
        project=event.project,
        client=text_or_none(body.get("client")),
    )


def _time(value: object, otherwise: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return otherwise
