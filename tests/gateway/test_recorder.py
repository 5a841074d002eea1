"""The copy: every finished exchange is one turn in the spool before its client sees the end.

What is left out, and what fails: test_unrecorded.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from qi_learn.capture.wire import decode
from tests.support.exchanges import ENDPOINTS
from tests.support.fake_ollama import (
    DIE,
    HANG,
    RECORDINGS,
    ROOT,
    FakeOllama,
    GatewayProcess,
    ask,
    connect,
    head,
    recorded,
    request_bytes,
    stream,
    whole,
)

STREAMS = [
    "chat stream",
    "generate stream",
    "v1 chat stream",
    "v1 completions stream",
    "v1 responses stream",
    "v1 messages stream",
]
HI = {"model": "m", "messages": [{"role": "user", "content": "Say hi."}]}
LINES = [
    b'{"model":"m","message":{"role":"assistant","content":"word %d "},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


def exchange_named(name: str) -> dict[str, Any]:
    return next(e for e in RECORDINGS[-1]["exchanges"] if e["name"] == name)


def test_every_recorded_exchange_is_a_turn_with_its_bytes(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    expected: list[tuple[str, str, str, int]] = []
    for exchange in RECORDINGS[-1]["exchanges"]:
        asked = exchange["request"]
        if (
            asked["path"] not in ENDPOINTS
            or not isinstance(asked["body"], dict)
            or asked["method"] != "POST"
        ):
            continue
        body = json.dumps(asked["body"])
        response = exchange["body"] if "body" in exchange else "".join(exchange["chunks"])
        fake.play(recorded(exchange))
        ask(gateway.url, "POST", asked["path"], body.encode(), asked["headers"])
        no_turn = any(word in exchange["name"] for word in ("load", "rendered")) or not isinstance(
            asked["body"].get("model"), str
        )
        if not no_turn:
            expected.append((asked["path"], body, response, int(exchange["status"].split()[1])))
    turns = gateway.turns(len(expected))
    assert [
        (t.body["endpoint"], t.body["request"], t.body["response"], t.body["status"]) for t in turns
    ] == expected
    assert len(expected) > 30
    for turn in turns:
        assert decode(turn).complete
        assert (
            turn.body["started"]
            <= turn.body["started"] + turn.body["ttfb_ms"] / 1000
            <= turn.body["ended"] + 0.001
        )
        assert (turn.kind, turn.source, turn.author, turn.body["cancelled"]) == (
            "turn",
            "gateway",
            "model",
            False,
        )


def test_a_routed_turn_says_who_was_asked_and_who_answered(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    own.paths.routes.write_text(
        json.dumps(
            {
                "format": 1,
                "alias": "qi-agent",
                "answer_for": [],
                "live": "qi-agent:v1.1.0",
                "digest": "d1",
            }
        )
    )
    fake.play(stream([line.replace(b'"m"', b'"qi-agent:v1.1.0"') for line in LINES]))
    ask(own.url, "POST", "/api/chat", {**HI, "model": "QI-agent"})
    (turn,) = map(decode, own.turns(1))
    assert (turn.model_asked, turn.model_answered, turn.model_digest) == (
        "QI-agent",
        "qi-agent:v1.1.0",
        "d1",
    )
    assert turn.answer == "word 0 word 1 word 2 word 3 word 4 "


@pytest.mark.parametrize("name", STREAMS)
def test_a_finished_stream_survives_kill_9(
    fake: FakeOllama, own: GatewayProcess, name: str
) -> None:
    exchange = exchange_named(name)
    steps = recorded(exchange)
    fake.play(
        [*steps[:-1], HANG]
    )  # the last event has been sent, the end of the connection has not

    def on_chunk(data: bytes) -> None:
        if data == exchange["chunks"][-1].encode():
            own.process.send_signal(signal.SIGKILL)

    answer = ask(
        own.url, "POST", exchange["request"]["path"], exchange["request"]["body"], on_chunk=on_chunk
    )
    own.process.wait()
    assert answer.chunks is not None
    assert [c.decode() for c in answer.chunks] == exchange["chunks"]
    (turn,) = own.turns(1)
    assert turn.body["response"] == "".join(exchange["chunks"])
    assert decode(turn).complete


def test_a_finished_document_survives_kill_9(fake: FakeOllama, own: GatewayProcess) -> None:
    exchange = exchange_named("chat whole")
    fake.play(recorded(exchange))
    body = json.dumps(exchange["request"]["body"]).encode()
    with connect(own.url) as link:
        link.sendall(request_bytes(urlsplit(own.url).netloc, "POST", "/api/chat", body, {}))
        got = b""
        while not got.endswith(exchange["body"].encode()):
            got += link.recv(65536)
        own.process.send_signal(signal.SIGKILL)
    own.process.wait()
    (turn,) = own.turns(1)
    assert turn.body["response"] == exchange["body"]


def test_words_that_look_like_the_end_are_not_taken_for_it(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    call = (
        b'{"model":"m","message":{"content":"","tool_calls":'
        b'[{"function":{"name":"f","arguments":{"done":true}}}]},"done":false}\n'
    )
    fake.play(stream([call, *LINES]))
    ask(gateway.url, "POST", "/api/chat", HI)
    delta = (
        b'data: {"choices":[{"index":0,"delta":{"content":"data: [DONE]\\n\\ndata: [DONE]"}}]}\n\n'
    )
    fake.play(stream([delta, delta, b"data: [DONE]\n\n"], "text/event-stream"))
    ask(gateway.url, "POST", "/v1/chat/completions", HI)
    first, second = map(decode, gateway.turns(2))
    assert (len(first.answer_extra["tool_calls"]), first.answer.count("word"), first.complete) == (
        1,
        5,
        True,
    )
    assert (second.answer.count("[DONE]"), second.complete) == (4, True)


def test_a_client_that_leaves_is_recorded_as_cancelled(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    for steps in ([HANG], [*stream(LINES)[:3], HANG]):
        fake.play(steps)
        with connect(gateway.url) as link:
            link.sendall(
                request_bytes(
                    urlsplit(gateway.url).netloc, "POST", "/api/chat", json.dumps(HI).encode(), {}
                )
            )
            while len(steps) > 1 and b"word 1" not in link.recv(65536):
                pass
            fake.wait_asked()
        assert fake.hung_up.wait(10)
    before, during = map(decode, gateway.turns(2))
    assert (before.cancelled, before.complete, before.status, before.answer) == (
        True,
        False,
        499,
        "",
    )
    assert (during.cancelled, during.complete, during.status, during.answer) == (
        True,
        False,
        200,
        "word 0 word 1 ",
    )


def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    steps = stream(LINES)
    fake.play([b"".join(step for step in steps[:4] if isinstance(step, bytes)), DIE])
    ask(gateway.url, "POST", "/api/chat", HI)
    (turn,) = map(decode, gateway.turns(1))
    assert (turn.answer, turn.complete, turn.cancelled, turn.status) == (
        "word 0 word 1 word 2 ",
        False,
        False,
        200,
    )


def test_stopping_the_gateway_keeps_what_came(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play([*stream(LINES)[:3], HANG])
    sent = False

    def on_chunk(_: bytes) -> None:
        nonlocal sent
        if not sent:
            own.process.terminate()
            sent = True

    assert not ask(own.url, "POST", "/api/chat", HI, on_chunk=on_chunk).whole
    assert own.process.wait(20) == 0
    (turn,) = map(decode, own.turns(1))
    assert (turn.cancelled, turn.complete) == (False, False)
    assert turn.answer.startswith("word 0 ")


def test_project_and_session_come_from_headers(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b'{"done":true}'))
    ask(
        gateway.url,
        "POST",
        "/api/chat",
        HI,
        {"x-qi-learn-project": "/home/me/code", "x-qi-learn-session": "s1"},
    )
    ask(gateway.url, "POST", "/api/chat", HI, {"x-qi-learn-project": "/p", "session_id": "codex-7"})
    first, second = gateway.turns(2)
    assert (first.project, first.body["session"]) == ("/home/me/code", "s1")
    assert (second.project, second.body["session"]) == ("/p", "codex-7")


CLIENT = """
import sys; sys.path.insert(0, {root!r})
from tests.support.fake_ollama import ask
ask({url!r}, "POST", "/api/chat", {{"model": "m", "messages": []}})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the client of a connection")
def test_the_clients_directory_tells_the_project(
    fake: FakeOllama, gateway: GatewayProcess, tmp_path: Path
) -> None:
    # the client must live long enough to be seen, as every client of a model does
    fake.play([head("HTTP/1.1 200 OK", ("Content-Length", "13")), 0.3, b'{"done":true}'])
    registered, repository, plain = (
        tmp_path / "registered",
        tmp_path / "repository",
        tmp_path / "plain",
    )
    for place in (registered / "src", repository / ".git", repository / "src", plain):
        place.mkdir(parents=True)
    gateway.paths.projects.write_text(json.dumps([str(tmp_path / "registered")]))
    code = CLIENT.format(root=str(ROOT), url=gateway.url)
    for place in (registered / "src", repository / "src", plain, Path("/")):
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=place,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert [turn.project for turn in gateway.turns(4)] == [
        str(registered),
        str(repository),
        str(plain),
        None,
    ]
