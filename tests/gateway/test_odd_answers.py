"""Answers as servers also write them: other line ends, data on several lines, odd bytes in a head.

And whatever breaks an answer off is told: in the record, and where a person looks at it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.capture.wire import decode
from qi_learn.gateway.exchange import Exchange
from qi_learn.gateway.restore import NameRestorer
from qi_learn.report.explain import as_text, explain
from qi_learn.report.listing import turns as listed
from qi_learn.report.turn_table import turn_table
from qi_learn.settings import Settings
from qi_learn.store.database import open_store
from qi_learn.store.ingest import drain
from tests.support.fake_ollama import (
    DIE,
    HANG,
    FakeOllama,
    GatewayProcess,
    Step,
    ask,
    chunk,
    connect,
    head,
    request_bytes,
    stream,
    whole,
)

NATIVE, CHAT, MESSAGES, RESPONSES = (
    "/api/chat",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
)
SSE = "text/event-stream"
LINE = b'{"model":"m","message":{"role":"assistant","content":"word"},"done":false}\n'
LAST = b'{"model":"m","message":{"role":"assistant","content":""},"done":true}\n'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"word"}}\n\n'  # noqa: E501
OK = "HTTP/1.1 200 OK"
HI = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
"""Of a model that nothing is routed for."""


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "first", "last"),
    [
        (NATIVE, "application/x-ndjson", LINE, LAST),
        (NATIVE, "application/x-ndjson", LINE, LAST.replace(b'"done":true', b'"done" : true')),
        (CHAT, SSE, EVENT, b"data: [DONE]\n\n"),
        (CHAT, SSE, EVENT, b"data:[DONE]\n\n"),
        (CHAT, SSE, EVENT, b": done\ndata: [DONE]\n\n"),
        (CHAT, SSE, EVENT.replace(b"\n", b"\r\n"), b"data: [DONE]\r\n\r\n"),
        (CHAT, SSE, EVENT, b"data: [DONE]\n\r\n"),
        (CHAT, SSE, EVENT.replace(b"\n\n", b"\n\r\n"), b"data: [DONE]\r\n\n"),
        (MESSAGES, SSE, DELTA, b'event:message_stop\ndata:{"type":"message_stop"}\n\n'),
        (
            *(MESSAGES, SSE, DELTA.replace(b"\n", b"\r\n")),
            b'event: message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n',
        ),
    ],
)
def test_a_finished_stream_is_recorded_though_its_connection_stays(
    fake: FakeOllama, gateway: GatewayProcess, path: str, kind: str, first: bytes, last: bytes
) -> None:
    gateway.turns()
    fake.play([*stream([first, last], kind)[:3], HANG])
    with connect(gateway.url) as link:
        link.sendall(request_bytes(urlsplit(gateway.url).netloc, "POST", path, HI, {}))
        seen = b""
        while last not in seen:
            seen += link.recv(65536)
        (turn,) = map(decode, gateway.turns(1))
    assert (turn.answer, turn.complete, turn.cancelled) == ("word", True, False)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_what_a_model_says_of_ends_is_none(
    fake: FakeOllama, gateway: GatewayProcess, ends: bytes
) -> None:
    gateway.turns()
    said = EVENT.replace(b"word", rb"data: [DONE]\n\ndata: [DONE]").replace(b"\n", ends)
    fake.play([*stream([said], SSE)[:2], HANG])
    with connect(gateway.url) as link:
        link.sendall(request_bytes(urlsplit(gateway.url).netloc, "POST", CHAT, HI, {}))
        while b"DONE" not in link.recv(65536):
            pass
    (turn,) = map(decode, gateway.turns(1))
    assert (turn.answer.count("[DONE]"), turn.complete, turn.cancelled) == (2, False, True)


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
@pytest.mark.parametrize("before", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
def test_only_the_last_event_says_that_none_follows(before: bytes, ends: bytes) -> None:
    exchange = Exchange(CHAT, HI, "T", content_type=SSE)
    exchange.take(EVENT + b"data: [DONE]" + before)
    assert exchange.has_ended()
    exchange.take(b"data: {}" + ends)
    assert not exchange.has_ended()


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\x01b", "\x1b[31mred", "a\x7fb", "M\xfcller \x01"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/tags"), ("POST", NATIVE)])
def test_a_control_byte_in_a_servers_head_passes(
    fake: FakeOllama, gateway: GatewayProcess, method: str, path: str, value: str
) -> None:
    gateway.turns()
    body = b'{"message":{"content":"word"},"done":true}'
    opening = head(OK, ("X-Odd", value), ("Content-Length", str(len(body))))
    fake.play([opening + body])
    answer = ask(gateway.url, method, path, HI if method == "POST" else None)
    assert (answer.status, answer.body, answer.header("X-Odd")) == (OK, body, value)
    assert len(gateway.turns(1 if method == "POST" else 0)) == (method == "POST")


# --- data on several lines ------------------------------------------------------------------------


SERVED, ASKED = b'"model":"qi-agent:v1.1.0"', b'"model":"m"'
SPLIT = [
    b'data: {"id":"x",\ndata: "model":"qi-agent:v1.1.0","choices":[{"delta":{"content":"a"}}]}\n\n',
    b'data: {\r\ndata: "choices": [{"delta":{"content":"{ data: "}}],\r\n'
    b'data: "model":"qi-agent:v1.1.0"}\r\n\r\n',
    b'event: message_start\ndata: {"type":"message_start","message":{"id":1,\n'
    b'data: "model":"qi-agent:v1.1.0"}}\n\n',
    b'data: {"model":"qi-agent:v1.1.0",\ndata:"choices":[]}\n\n',
    b'data: {"choices":[{"delta":{"content":"}"}}],\n'
    b'data: "model":"qi-agent:v1.1.0","x":{"model": "qi-agent:v1.1.0"}}\n\n',
    b'data: {"choices":[{"delta":{"content":"{\\"}\\\\"}}],\n'
    b'data: "model":"qi-agent:v1.1.0","x":{"model": "qi-agent:v1.1.0"}}\n\n',
    b'data: {\ndata: "choices":[{"delta":{"content":"if (x) {"}}],\n'
    b'data: "x":{\ndata: "model": "qi-agent:v1.1.0"\ndata: },\n'
    b'data: "model":"qi-agent:v1.1.0"\ndata: }\n\n',
]


@pytest.mark.parametrize("event", SPLIT)
def test_the_name_is_put_back_in_data_on_several_lines(
    fake: FakeOllama, routed: GatewayProcess, event: bytes
) -> None:
    end = b"data: [DONE]\n\n"
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    for pieces in ([event, end], [event[:20], event[20:40], event[40:], end], [event + event, end]):
        fake.play(stream(pieces, SSE))
        answer = ask(routed.url, "POST", CHAT, body)
        assert answer.whole
        assert answer.body == b"".join(pieces).replace(SERVED, ASKED)


@settings(max_examples=60)
@given(st.sampled_from(SPLIT), st.lists(st.integers(0, 400), max_size=4))
def test_it_does_not_matter_how_the_lines_come(event: bytes, cuts: list[int]) -> None:
    text = event * 2 + EVENT
    restorer = NameRestorer("m", "qi-agent:v1.1.0")
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    came = [restorer.feed(text[a:b]) for a, b in itertools.pairwise(at)]
    assert b"".join(came) + restorer.rest() == text.replace(SERVED, ASKED)


def test_an_event_goes_on_as_soon_as_it_is_whole() -> None:
    restorer = NameRestorer("m", "qi-agent:v1.1.0")
    brace = EVENT.replace(b"word", b"{").replace(b'{"choices"', b"{" + SERVED + b',"choices"')
    assert restorer.feed(brace) == brace.replace(SERVED, ASKED)
    assert restorer.feed(EVENT[:-1]) == EVENT[:-1], "whole before its empty line"
    assert restorer.feed(b"\n" + brace[:-1]) == (b"\n" + brace[:-1]).replace(SERVED, ASKED)
    assert restorer.feed(b"\n" + brace[:-1] + b"\n") != b""
    assert restorer.rest() == b""


# --- halves ---------------------------------------------------------------------------------------


DOCUMENT = json.dumps({"message": {"role": "assistant", "content": "word"}, "done": True}).encode()
MESSAGE = json.dumps(
    {"type": "message", "content": [{"type": "text", "text": "word"}], "stop_reason": "end_turn"}
).encode()
KIND = ("Content-Type", "application/json")
GZIP = gzip.compress(DOCUMENT * 50)
ERROR_EVENT = b'data: {"error":{"message":"out of memory","type":"api_error"}}\n\n'


def longer(body: bytes) -> list[Step]:
    """A body that ends before its length."""
    return [head(OK, KIND, ("Content-Length", str(len(body) + 9))) + body, 0.1, DIE]


def failed(status: str) -> bytes:
    event = {"type": "response.failed", "response": {"status": status, "error": {"message": "x"}}}
    return b"event: response.failed\ndata: " + json.dumps(event).encode() + b"\n\n"


BROKEN: dict[str, tuple[str, list[Step]]] = {
    "lines": (NATIVE, [*stream([LINE, LINE])[:3], 0.1, DIE]),
    "lines without an end": (NATIVE, [*stream([LINE])[:2], b"0\r\n\r\n"]),
    "half a line": (NATIVE, [*stream([LINE, LAST[:-9]])[:3], 0.1, DIE]),
    "an error in the lines": (NATIVE, stream([LINE, b'{"error":"out of memory"}\n'])),
    "damage": (NATIVE, [*stream([LINE])[:2], 0.1, b"zz\r\n", DIE]),
    "a document cut short": (NATIVE, longer(DOCUMENT[:-20])),
    "a document without its last bytes": (NATIVE, longer(DOCUMENT)),
    "a document without its last chunk": (
        NATIVE,
        [head(OK, KIND, ("Transfer-Encoding", "chunked")) + chunk(DOCUMENT), 0.1, DIE],
    ),
    "gzip cut short": (
        NATIVE,
        [
            head(OK, KIND, ("Content-Encoding", "gzip"), ("Content-Length", str(len(GZIP))))
            + GZIP[:-12],
            0.1,
            DIE,
        ],
    ),
    "nothing but a head": (NATIVE, [head(OK, KIND, ("Content-Length", "9")), 0.1, DIE]),
    "events": (CHAT, [*stream([EVENT, EVENT], SSE)[:3], 0.1, DIE]),
    "events without an end": (CHAT, stream([EVENT], SSE)),
    "an error in the events": (CHAT, stream([EVENT, ERROR_EVENT], SSE)),
    "an error, and the end": (CHAT, stream([EVENT, ERROR_EVENT, b"data: [DONE]\n\n"], SSE)),
    "a message": (MESSAGES, [*stream([DELTA], SSE)[:2], 0.1, DIE]),
    "a message as a document": (MESSAGES, longer(MESSAGE)),
    "an error in a message": (
        MESSAGES,
        stream([DELTA, b'event: error\ndata: {"type":"error","error":{"message":"x"}}\n\n'], SSE),
    ),
    "a response that failed": (RESPONSES, stream([failed("failed")], SSE)),
    "a response": (
        RESPONSES,
        [*stream([b'data: {"type":"response.output_text.delta","delta":"w"}\n\n'], SSE)[:2], DIE],
    ),
}


def shown(gateway: GatewayProcess) -> tuple[str, str]:
    """The newest turn's line in `log`, and what `explain` says of it."""
    with open_store(gateway.paths.database) as store:
        drain(store, gateway.paths.spool, decode=decode, suggest=lambda _: (), now=time.time())
    line = listed(gateway.paths, limit=1)[0]
    return turn_table([line], None)[-1], as_text(explain(gateway.paths, Settings(), line.id))


def test_whatever_breaks_an_answer_off_is_told(fake: FakeOllama, own: GatewayProcess) -> None:
    question = {"messages": [{"role": "user", "content": "hi"}], "input": "hi", "stream": True}
    for way, (path, steps) in BROKEN.items():
        fake.play(steps)
        ask(own.url, "POST", path, {"model": "m", **question})
        assert len(own.turns(1)) == 1, way
        line, told = shown(own)
        assert "(broken off) hi" in line, way
        assert "; it broke off" in told, way


def test_an_answer_whose_client_left_is_told(fake: FakeOllama, own: GatewayProcess) -> None:
    plans: list[list[Step]] = [
        [HANG],
        [*stream([LINE])[:2], HANG],
        [head(OK, KIND) + DOCUMENT[:9], HANG],
    ]
    for steps in plans:
        fake.play(steps)
        with connect(own.url) as link:
            link.sendall(request_bytes("localhost", "POST", NATIVE, HI, {}))
            fake.wait_asked()
            if len(steps) > 1:
                assert link.recv(65536)
        assert fake.hung_up.wait(20)
        assert len(own.turns(1)) == 1
        line, told = shown(own)
        assert "(cancelled) hi" in line
        assert "; the client left before its end" in told


def test_an_answer_that_the_gateways_end_cuts_is_told(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play([*stream([LINE])[:2], HANG])
    with connect(own.url) as link:
        link.sendall(request_bytes("localhost", "POST", NATIVE, HI, {}))
        assert link.recv(65536)
        own.process.terminate()
        own.process.wait(60)
    line, _ = shown(own)
    assert "(broken off) hi" in line


def test_a_whole_answer_has_no_mark(fake: FakeOllama, own: GatewayProcess) -> None:
    plans = [(NATIVE, stream([LINE, LAST])), (NATIVE, whole(DOCUMENT)), (MESSAGES, whole(MESSAGE))]
    for path, steps in plans:
        fake.play(steps)
        ask(own.url, "POST", path, HI)
        assert len(own.turns(1)) == 1
        line, told = shown(own)
        assert line.endswith("  hi")
        assert "broke off" not in told
