"""Bodies that travel encoded: read from a decoded copy, and sent as they came unless a name in them
must be exchanged.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable

import pytest

from qi_learn.capture.wire import decode
from qi_learn.gateway.encoding import LONGEST, decoded
from tests.support.command_line import wait_until
from tests.support.fake_ollama import (
    FakeOllama,
    GatewayProcess,
    Step,
    ask,
    chunk,
    head,
    whole,
)

LINES = [
    b'{"model":"qi-agent:v1.1.0","message":{"role":"assistant","content":"word %d"},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
}


def request_of(model: str) -> bytes:
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "é" * 500}], "x": 1.0}
    ).encode()


def encoded_answer(body: bytes, encoding: str, kind: str, cut: int | None) -> list[Step]:
    """An encoded answer: with its length, or in chunks of `cut` bytes."""
    headers = (("Content-Type", kind), ("Content-Encoding", encoding))
    if cut is None:
        return [head("HTTP/1.1 200 OK", *headers, ("Content-Length", str(len(body)))) + body]
    pieces = [body[k : k + cut] for k in range(0, len(body), cut)]
    opening = head("HTTP/1.1 200 OK", *headers, ("Transfer-Encoding", "chunked"))
    return [opening, *map(chunk, pieces), b"0\r\n\r\n"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoded_request_whose_name_is_exchanged_goes_on_decoded(
    fake: FakeOllama, routed: GatewayProcess, encoding: str
) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0","message":{"content":"ok"},"done":true}'))
    routed.turns()
    packed = ENCODINGS[encoding](request_of("m"))
    answer = ask(routed.url, "POST", "/api/chat?x=1", packed, {"Content-Encoding": encoding})
    (got,) = fake.received
    assert got.body == request_of("m").replace(b'"m"', b'"qi-agent:v1.1.0"', 1)
    assert got.header("content-length") == str(len(got.body))
    assert got.header("content-encoding") is None
    assert answer.json["model"] == "m"
    (turn,) = map(decode, routed.turns(1))
    assert (turn.model_asked, turn.messages[0].content, turn.answer) == ("m", "é" * 500, "ok")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_other_encoded_request_passes_untouched_and_is_read(
    fake: FakeOllama, routed: GatewayProcess, encoding: str
) -> None:
    fake.play(whole(b'{"message":{"content":"ok"},"done":true}'))
    routed.turns()
    packed = ENCODINGS[encoding](request_of("else"))
    ask(routed.url, "POST", "/api/chat", packed, {"Content-Encoding": encoding})
    (got,) = fake.received
    assert (got.body, got.header("content-encoding")) == (packed, encoding)
    (turn,) = map(decode, routed.turns(1))
    assert turn.messages[0].content == "é" * 500


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\x1f\x8bnot gzip at all", "gzip"),
        (gzip.compress(request_of("m"))[:-20], "br"),
        (b"()", "gzip, gzip"),
    ],
    ids=["damaged", "another", "twice"],
)
def test_what_cannot_be_decoded_passes_and_is_counted(
    fake: FakeOllama, own: GatewayProcess, body: bytes, encoding: str
) -> None:
    fake.play(whole(b'{"done":true}'))
    ask(own.url, "POST", "/api/chat", body, {"Content-Encoding": encoding})
    assert fake.received[-1].body == body
    wait_until(lambda: own.status["unreadable"] == 1)
    assert own.turns() == []


@pytest.mark.parametrize("cut", [None, 1, 37])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoded_stream_is_passed_as_it_is_or_with_the_asked_name(
    fake: FakeOllama, routed: GatewayProcess, encoding: str, cut: int | None
) -> None:
    packed = ENCODINGS[encoding](b"".join(LINES))
    fake.play(encoded_answer(packed, encoding, "application/x-ndjson", cut))
    routed.turns()
    other = ask(routed.url, "POST", "/api/chat", request_of("else"))
    assert (other.body, other.header("content-encoding")) == (packed, encoding)
    answer = ask(routed.url, "POST", "/api/chat", request_of("m"), {"Accept-Encoding": "gzip"})
    assert fake.received[-1].header("accept-encoding") == "gzip"
    assert answer.body == b"".join(LINES).replace(b"qi-agent:v1.1.0", b"m")
    assert answer.header("content-encoding") is None
    assert answer.whole
    assert [decode(turn).answer for turn in routed.turns(2)] == [
        "word 0word 1word 2word 3word 4"
    ] * 2


@pytest.mark.parametrize("cut", [None, 5])
def test_an_encoded_document_has_the_length_that_it_has(
    fake: FakeOllama, routed: GatewayProcess, cut: int | None
) -> None:
    document = b'{"model":"qi-agent:v1.1.0","response":"x","done":true}'
    fake.play(encoded_answer(gzip.compress(document), "gzip", "application/json", cut))
    answer = ask(routed.url, "POST", "/api/generate", request_of("m"))
    assert answer.body == document.replace(b"qi-agent:v1.1.0", b"m")
    if cut is None:
        assert answer.header("content-length") == str(len(answer.body))


def test_a_small_body_that_unfolds_without_end_is_not_unfolded(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    bomb = gzip.compress(b" " * (LONGEST + 10))
    assert decoded(bomb, "gzip") is None
    fake.play(whole(b'{"done":true}'))
    ask(own.url, "POST", "/api/chat", bomb, {"Content-Encoding": "gzip"})
    assert fake.received[-1].body == bomb


def test_decoding_is_the_same_however_much_comes_at_once() -> None:
    data = random.Random(5).randbytes(300_000)
    for encoding, encode in ENCODINGS.items():
        assert decoded(encode(data), encoding) == data
    assert decoded(b"", "gzip") == b""
