"""A stream is one in whatever case its media type is written, and with whatever parameters."""

from __future__ import annotations

import threading

import pytest

from qi_learn.capture.wire import decode
from tests.support.fake_ollama import FakeOllama, GatewayProcess, ask, chunk, stream

EVENT = b'data: {"model":"qi-agent:v1.1.0","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LINE = b'{"model":"qi-agent:v1.1.0","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = LINE.replace(b"false", b"true").replace(b'"a"', b'""')
CHAT, NATIVE = "/v1/chat/completions", "/api/chat"


@pytest.mark.parametrize(
    ("path", "content_type", "first", "last"),
    [
        (CHAT, "Text/Event-Stream", EVENT, b"data: [DONE]\n\n"),
        (CHAT, "TEXT/EVENT-STREAM ;charset=UTF-8", EVENT, b"data: [DONE]\n\n"),
        (NATIVE, "application/X-NDJSON", LINE, LAST),
    ],
)
def test_a_stream_passes_as_it_comes_and_is_read(
    fake: FakeOllama,
    routed: GatewayProcess,
    path: str,
    content_type: str,
    first: bytes,
    last: bytes,
) -> None:
    came = threading.Event()  # the upstream goes on once the client has the first words
    head, piece, end = stream([first], content_type)
    fake.play([head, piece, came, chunk(last), end])
    seen: list[bool] = []

    def on_chunk(data: bytes) -> None:
        seen.append(came.is_set())
        came.set()

    body = {"model": "rec-a:v1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    answer = ask(routed.url, "POST", path, body, on_chunk=on_chunk)
    assert answer.whole
    assert answer.body == (first + last).replace(b"qi-agent:v1.1.0", b"rec-a:v1")
    assert len(seen) > 1
    turn = decode(routed.turns(1)[0])
    assert (turn.answer, turn.complete, turn.cancelled) == ("a", True, False)
