"""An answer is read as what it is, whatever content type a proxy gave it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from tests.support.turn_events import JSON, SSE, turn_event

TEXT = {"role": "assistant", "content": "hello"}
WHOLE: dict[str, dict[str, Any]] = {
    "/api/chat": {"message": TEXT, "done": True},
    "/api/generate": {"response": "hello", "done": True},
    "/v1/chat/completions": {"choices": [{"index": 0, "message": TEXT}]},
    "/v1/completions": {"choices": [{"index": 0, "text": "hello"}]},
    "/v1/responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}],
    },
    "/v1/messages": {"type": "message", "content": [{"type": "text", "text": "hello"}]},
}
STREAMED: dict[str, list[dict[str, Any]]] = {
    "/api/chat": [{"message": TEXT, "done": False}, {"message": {}, "done": True}],
    "/api/generate": [{"response": "hello", "done": False}, {"done": True}],
    "/v1/chat/completions": [{"choices": [{"index": 0, "delta": {"content": "hello"}}]}],
    "/v1/completions": [{"choices": [{"index": 0, "text": "hello"}]}],
    "/v1/responses": [
        {"type": "response.output_text.delta", "delta": "hello"},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
    "/v1/messages": [
        {"type": "content_block_delta", "index": 0, "delta": {"text": "hello"}},
        {"type": "message_stop"},
    ],
}


@pytest.mark.parametrize("kind", [SSE, JSON, "text/plain; charset=utf-8", ""])
@pytest.mark.parametrize("start", ["", ": keep-alive\n\n", "\ufeff", "\r\n", "retry: 9\n"])
@pytest.mark.parametrize("endpoint", STREAMED)
def test_events_are_read_as_events(endpoint: str, start: str, kind: str) -> None:
    values = (f"data: {json.dumps(value)}\n\n" for value in STREAMED[endpoint])
    response = start + "".join(values) + ("data: [DONE]\n\n" if "completions" in endpoint else "")
    turn = decode(turn_event(endpoint, {}, response, kind))
    assert (turn.answer, turn.complete) == ("hello", True)


@pytest.mark.parametrize("kind", [SSE, JSON, "text/plain; charset=utf-8", ""])
@pytest.mark.parametrize("start", ["", "\n", " \r\n"])
@pytest.mark.parametrize("endpoint", WHOLE)
def test_a_document_is_read_as_one(endpoint: str, start: str, kind: str) -> None:
    turn = decode(turn_event(endpoint, {}, start + json.dumps(WHOLE[endpoint]), kind))
    assert (turn.answer, turn.complete) == ("hello", True)
