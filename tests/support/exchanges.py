"""What recorded exchanges are played with and compared by, in front of and behind a gateway."""

from __future__ import annotations

import json
from typing import Any

from tests.support.fake_ollama import Answer

ENDPOINTS = (
    "/api/chat",
    "/api/generate",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
ROUTES = {
    "format": 1,
    "alias": "qi-agent:latest",
    "answer_for": ["rec-a:v1", "m:latest"],
    "live": "qi-agent:v1.1.0",
    "digest": "d1",
    "arms": [],
    "salt": "",
}
NOT_PASSED = {"connection", "transfer-encoding", "host"}


def end_to_end(
    headers: list[tuple[str, str]] | tuple[tuple[str, str], ...],
) -> list[tuple[str, str]]:
    """The headers that pass a proxy."""
    return [(name, value) for name, value in headers if name.lower() not in NOT_PASSED]


def body_of(exchange: dict[str, Any]) -> bytes | None:
    """The request's body of a recorded exchange."""
    body = exchange["request"]["body"]
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def same_answer(left: Answer, right: Answer) -> None:
    """Hold two whole answers to be the same, byte for byte."""
    assert left.status == right.status
    assert end_to_end(left.headers) == end_to_end(right.headers)
    assert left.chunks == right.chunks
    assert left.body == right.body
    assert left.whole
    assert right.whole
