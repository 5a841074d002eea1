"""An upstream that breaks off, in whatever way: so does the gateway, after everything that came.

No half answer looks like a whole one.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from qi_learn.gateway.encoding import decoded
from tests.support.exchanges import ROUTES
from tests.support.fake_ollama import (
    DIE,
    FakeOllama,
    GatewayProcess,
    Step,
    ask,
    chunk,
    head,
    stream,
    whole,
)

LINE = b'{"model":"qi-agent:v1.1.0","message":{"role":"assistant","content":"a"},"done":false}\n'
OK = "HTTP/1.1 200 OK"
KIND = ("Content-Type", "application/json")
DOCUMENT = json.dumps(
    {
        "model": "qi-agent:v1.1.0",
        "message": {"role": "assistant", "content": random.Random(1).randbytes(4000).hex()},
        "done": True,
    }
).encode()
ASKED_DOCUMENT = DOCUMENT.replace(b"qi-agent:v1.1.0", b"m")


def gzipped(body: bytes, *more: Step, length: int | None = None) -> list[Step]:
    opening = head(
        OK, KIND, ("Content-Encoding", "gzip"), ("Content-Length", str(length or len(body)))
    )
    return [opening + body, *more]


@pytest.mark.parametrize("pause", [0.0, 0.1])
@pytest.mark.parametrize(
    "damage", [b"zz not a chunk\r\n", b"\r\n", b"5\r\nabcdefgh\r\n", b"<html>"]
)
@pytest.mark.parametrize("model", ["other", "m"])
def test_a_damaged_chunk_ends_the_answer(
    fake: FakeOllama, routed: GatewayProcess, model: str, damage: bytes, pause: float
) -> None:
    opening, first, _ = stream([LINE])
    assert isinstance(opening, bytes)
    assert isinstance(first, bytes)
    steps: list[Step] = [opening + first, pause, damage] if pause else [opening + first + damage]
    fake.play([*steps, DIE])
    routed.turns()
    answer = ask(routed.url, "POST", "/api/chat", {"model": model, "messages": []})
    assert not answer.whole
    assert answer.body.startswith(LINE.replace(b"qi-agent:v1.1.0", b"m") if model == "m" else LINE)
    (turn,) = routed.turns(1)
    assert turn.body["cancelled"] is False
    assert turn.body["response"].startswith(LINE.decode())


def test_a_damaged_answer_that_is_not_recorded_ends_too(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play([*stream([b'{"status":"pulling"}\n'])[:2], 0.1, b"zz\r\n", DIE])
    answer = ask(routed.url, "POST", "/api/pull", {})
    assert (answer.whole, answer.body) == (False, b'{"status":"pulling"}\n')


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_more_than_was_announced_is_cut_at_the_length(
    fake: FakeOllama, routed: GatewayProcess, pause: float
) -> None:
    body = '{"model":"x","message":{"content":"héllo"},"done":true}'.encode()
    opening = head(OK, KIND, ("Content-Length", str(len(body) - 1)))
    steps: list[Step] = [opening + body[:9], pause, body[9:]] if pause else [opening + body]
    fake.play(steps)
    routed.turns()
    answer = ask(routed.url, "POST", "/api/chat", {"model": "x", "messages": []})
    assert (answer.status, answer.body) == (OK, body[:-1])
    assert len(routed.turns(1)) == 1


def test_an_interim_answer_is_no_answer(fake: FakeOllama, routed: GatewayProcess) -> None:
    fake.play([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + b"".join(_bytes(whole(b"{}")))])
    assert ask(routed.url, "POST", "/api/chat", {"model": "x"}).body == b"{}"


def _bytes(steps: list[Step]) -> list[bytes]:
    return [step for step in steps if isinstance(step, bytes)]


def test_a_gzip_document_that_breaks_off_is_no_whole_answer(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    packed = gzip.compress(DOCUMENT)
    half = packed[: len(packed) // 2]
    damaged = half + b"\0" * 50 + packed[len(half) + 50 :]
    cut: list[Step] = [
        head(OK, KIND, ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")),
        chunk(half),
        b"0\r\n\r\n",
    ]
    plans: list[list[Step]] = [
        gzipped(half, 0.1, DIE, length=len(packed)),
        gzipped(damaged),
        gzipped(half),
        cut,
    ]
    for steps in plans:
        fake.play(steps)
        routed.turns()
        answer = ask(routed.url, "POST", "/api/chat", {"model": "m", "messages": []})
        assert answer.status == OK
        assert not answer.whole
        assert ASKED_DOCUMENT.startswith(answer.body)
        assert len(routed.turns(1)) == 1


def test_a_broken_document_is_not_made_whole_by_a_longer_name(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    length = ("Content-Length", str(len(DOCUMENT)))
    fake.play([head(OK, KIND, length) + DOCUMENT[:-10], 0.1, DIE])
    name = f"rec-a:v1@v{'1' * 9}.1.0"
    answer = ask(routed.url, "POST", "/api/chat", {"model": name, "messages": []})
    assert not answer.whole


def test_gzip_of_several_members_is_read_to_its_end(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    packed = gzip.compress(DOCUMENT[:100]) + gzip.compress(DOCUMENT[100:])
    for steps in (gzipped(packed), [*gzipped(b"", length=len(packed)), *_one_by_one(packed)]):
        fake.play(steps)
        answer = ask(routed.url, "POST", "/api/chat", {"model": "m", "messages": []})
        assert answer.body == ASKED_DOCUMENT
    request = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
    fake.play(whole(ASKED_DOCUMENT))
    routed.turns()
    sent = gzip.compress(request[:30]) + gzip.compress(request[30:])
    ask(routed.url, "POST", "/api/chat", sent, {"Content-Encoding": "gzip"})
    assert fake.received[-1].body == request.replace(b'"m"', b'"qi-agent:v1.1.0"')
    (turn,) = routed.turns(1)
    assert turn.body["request"] == request.decode()


def _one_by_one(body: bytes) -> list[Step]:
    return [body[at : at + 1] for at in range(len(body))]


def test_a_truncated_gzip_request_passes_as_it_is(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play(whole(b'{"done":true}'))
    sent = gzip.compress(b'{"model":"m","messages":[]}' * 50)[:-20]
    ask(own.url, "POST", "/api/chat", sent, {"Content-Encoding": "gzip"})
    assert fake.received[-1].body == sent
    assert fake.received[-1].header("content-encoding") == "gzip"
    assert own.turns() == []


def test_what_stands_behind_a_gzip_body_is_left_out() -> None:
    packed = gzip.compress(b"one")
    assert decoded(packed + b"\0" * 9, "gzip") == b"one"
    assert decoded(packed * 3, "gzip") == b"oneoneone"
    assert decoded(packed + packed[:-1], "gzip") is None
    assert decoded(packed[:-1], "gzip") is None


def test_an_encoding_that_is_none_is_no_encoding(fake: FakeOllama, routed: GatewayProcess) -> None:
    length = ("Content-Length", str(len(DOCUMENT)))
    fake.play([head(OK, KIND, ("Content-Encoding", "identity"), length) + DOCUMENT])
    routed.turns()
    answer = ask(routed.url, "POST", "/api/chat", {"model": "m", "messages": []})
    assert answer.body == ASKED_DOCUMENT
    assert answer.header("content-encoding") == "identity"
    (turn,) = routed.turns(1)
    assert turn.body["response"] == DOCUMENT.decode()


@pytest.mark.parametrize("packing", ["length", "chunks"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_the_base_stands_in_however_the_404_travels(
    fake: FakeOllama, own: GatewayProcess, encoding: str | None, packing: str
) -> None:
    _route(own.paths.routes)
    error = b'{"error":"model \'qi-agent:v1.1.0\' not found"}'
    headers = [KIND]
    if encoding:
        error = gzip.compress(error)
        headers.append(("Content-Encoding", encoding))
    missing = "HTTP/1.1 404 Not Found"
    if packing == "length":
        steps: list[Step] = [head(missing, *headers, ("Content-Length", str(len(error)))) + error]
    else:
        opening = head(missing, *headers, ("Transfer-Encoding", "chunked"))
        steps = [opening, chunk(error[:9]), 0.05, chunk(error[9:]), b"0\r\n\r\n"]
    fake.play([])
    fake.answer = lambda got: (
        steps if b"qi-agent:v1.1.0" in got.body else whole(b'{"model":"base:7b","done":true}')
    )
    answer = ask(own.url, "POST", "/api/chat", {"model": "base:7b", "messages": []})
    assert (answer.status, answer.json["model"]) == (OK, "base:7b")
    assert [missing["stand_in"] for missing in own.status["missing"]] == ["base:7b"]


def test_a_long_404_in_chunks_passes_whole(fake: FakeOllama, own: GatewayProcess) -> None:
    _route(own.paths.routes)
    pieces = [bytes([65 + k]) * 20_000 for k in range(9)]
    opening = head("HTTP/1.1 404 Not Found", KIND, ("Transfer-Encoding", "chunked"))
    fake.play([opening, *map(chunk, pieces), b"0\r\n\r\n"])
    answer = ask(own.url, "POST", "/api/chat", {"model": "base:7b", "messages": []})
    assert (answer.whole, answer.body) == (True, b"".join(pieces))


def _route(path: Path) -> None:
    path.write_text(json.dumps({**ROUTES, "answer_for": ["base:7b"]}))
