"""What is not recorded, and what happens to traffic if recording fails: nothing."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Event
from tests.support.command_line import wait_until
from tests.support.fake_ollama import (
    RECORDINGS,
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    head,
    recorded,
    stream,
    whole,
)

HI = {"model": "m", "messages": [{"role": "user", "content": "Say hi."}]}
LINES = [
    b'{"model":"m","message":{"role":"assistant","content":"word %d "},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


def exchange_named(name: str) -> dict[str, Any]:
    return next(e for e in RECORDINGS[-1]["exchanges"] if e["name"] == name)


def spooled(gateway: GatewayProcess) -> str:
    return "".join(
        path.read_text() for path in sorted(gateway.paths.spool.rglob("*")) if path.is_file()
    )


def test_no_header_is_ever_written(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(
        [
            head(
                "HTTP/1.1 200 OK",
                ("Set-Cookie", "sess=SECRETc"),
                ("Content-Type", "application/json"),
                ("Content-Length", "2"),
            )
            + b"{}"
        ]
    )
    secrets = {
        "Authorization": "Bearer SECRETa",
        "Cookie": "SECRETb",
        "X-Api-Key": "SECRETd",
        "Proxy-Authorization": "SECRETe",
    }
    ask(gateway.url, "POST", "/api/chat?key=SECRETf", HI, secrets)
    ask(gateway.url, "POST", "/api/chat", HI, secrets)
    assert fake.received[-1].header("authorization") == "Bearer SECRETa"
    assert len(gateway.turns(2)) == 2
    assert "Say hi." in spooled(gateway)
    assert "SECRET" not in spooled(gateway)
    assert "SECRET" not in gateway.log.read_text()


@pytest.mark.parametrize(
    ("path", "body", "headers", "answer"),
    [
        ("/api/chat", HI, {"x-qi-learn-record": "0"}, whole(b'{"done":true}')),
        ("/api/chat", {**HI, "model": "gpt-oss:120b-cloud"}, {}, whole(b'{"done":true}')),
        (
            "/api/chat",
            {"model": "m", "messages": []},
            {},
            whole(b'{"model":"m","done":true,"done_reason":"load"}'),
        ),
        (
            "/api/chat",
            {"model": "m", "_debug_render_only": True},
            {},
            whole(b'{"model":"m","_debug_info":{"rendered_template":"x"}}'),
        ),
        (
            "/api/chat",
            b'{"model": "m", "messages"',
            {},
            whole(b'{"error":"unexpected EOF"}', status="HTTP/1.1 400 Bad Request"),
        ),
        (
            "/api/chat",
            b"",
            {},
            whole(b'{"error":"missing request body"}', status="HTTP/1.1 400 Bad Request"),
        ),
        ("/api/embed", {"model": "m", "input": "Say hi."}, {}, whole(b'{"embeddings":[]}')),
        ("/api/show", {"model": "m"}, {}, whole(b"{}")),
        (
            "/api/chat",
            HI,
            {},
            [head("HTTP/1.1 200 OK", ("Content-Encoding", "br"), ("Content-Length", "2")) + b"xx"],
        ),
        (
            "/api/chat/",
            HI,
            {},
            [
                head(
                    "HTTP/1.1 307 Temporary Redirect",
                    ("Location", "/api/chat"),
                    ("Content-Length", "0"),
                )
            ],
        ),
    ],
)
def test_what_is_no_turn_passes_unrecorded(
    fake: FakeOllama,
    gateway: GatewayProcess,
    path: str,
    body: Any,
    headers: dict[str, str],
    answer: list[Any],
) -> None:
    fake.play(answer)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    through = ask(gateway.url, "POST", path, raw, headers)
    assert fake.received[-1].body == raw
    assert through.body == ask(fake.url, "POST", path, raw).body
    fake.play(whole(b'{"message":{"content":"x"},"done":true}'))
    ask(gateway.url, "POST", "/api/chat", {**HI, "after": True})
    (only,) = gateway.turns(1)
    assert '"after"' in only.body["request"]


def test_a_refused_request_is_kept_with_its_status(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    exchange = exchange_named("chat absent model whole")
    fake.play(recorded(exchange))
    assert (
        ask(gateway.url, "POST", "/api/chat", exchange["request"]["body"]).body.decode()
        == exchange["body"]
    )
    (turn,) = map(decode, gateway.turns(1))
    assert (turn.status, turn.answer, turn.answer_extra) == (
        404,
        "",
        {"error": "model 'rec-none' not found"},
    )


def recording(gateway: GatewayProcess) -> tuple[bool, str | None, str | None]:
    said = gateway.status
    return said["recording"], said["reason"], said["routes_problem"]


def test_recording_can_be_off(fake: FakeOllama, tmp_path: Path) -> None:
    fake.play(whole(b'{"done":true}'))
    with a_gateway(fake.url, tmp_path, {"record": "false"}) as gateway:
        assert ask(gateway.url, "POST", "/api/chat", HI).body == b'{"done":true}'
        assert recording(gateway) == (False, "gateway.record is false", None)
    assert gateway.turns() == []


def test_a_full_disk_switches_recording_off_and_traffic_goes_on(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play(stream(LINES))
    pid = own.process.pid
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    assert recording(own) == (True, None, None)
    assert ask(own.url, "POST", "/api/chat", {**HI, "n": 1}).body == b"".join(LINES)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (700, unlimited[1]))
    for _ in range(2):
        answer = ask(own.url, "POST", "/api/chat", {**HI, "n": 2})
        assert (answer.body, answer.whole, answer.chunks) == (b"".join(LINES), True, LINES)
    assert own.status["recording"] is False
    assert "File too large" in own.status["reason"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    ask(own.url, "POST", "/api/chat", {**HI, "n": 3})
    assert own.status["recording"] is True
    assert [json.loads(turn.body["request"])["n"] for turn in own.turns(2)] == [1, 3]


def test_a_spool_that_cannot_be_made_changes_nothing_for_the_client(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play(stream(LINES))
    shutil.rmtree(own.paths.spool)
    own.paths.spool.symlink_to("/dev/full")
    assert ask(own.url, "POST", "/api/chat", HI).body == b"".join(LINES)
    assert own.status["recording"] is False
    own.paths.spool.unlink()
    assert ask(own.url, "POST", "/api/chat", HI).body == b"".join(LINES)
    assert own.status["recording"] is True
    assert len(own.turns(1)) == 1


def test_a_turn_longer_than_a_line_should_be_is_left_out(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play(whole(b'{"done":true}'))
    for size in (17 * 1024 * 1024, 500_000):
        ask(gateway.url, "POST", "/api/chat", {**HI, "padding": "x" * size})
    (turn,) = gateway.turns(1)
    assert len(turn.body["request"]) < 600_000
    assert isinstance(turn, Event)
    wait_until(lambda: gateway.status["too_long"] == 1)
