"""What passes the gateway is what was sent: recorded exchanges of two real Ollamas byte for byte,
streams as they come, faults as they are.

A client that leaves takes its request to the upstream down with it. Routed exchanges:
test_routed.py.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.daemon_process import refusing_port
from tests.support.exchanges import body_of, end_to_end, same_answer
from tests.support.fake_ollama import (
    DIE,
    HANG,
    RECORDINGS,
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    chunk,
    connect,
    head,
    read_answer,
    recorded,
    request_bytes,
    stream,
    whole,
)

LINES = [
    b'{"model":"m:latest","message":{"role":"assistant","content":"word %d"},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
def test_every_recorded_exchange_passes_byte_for_byte(
    fake: FakeOllama, gateway: GatewayProcess, recording: dict[str, Any]
) -> None:
    passed = 0
    for exchange in recording["exchanges"]:
        asked = exchange["request"]
        if exchange["name"] in ("host refused", "origin refused", "preflight refused"):
            continue  # the gateway refuses these itself
        fake.play(recorded(exchange))
        direct = ask(fake.url, asked["method"], asked["path"], body_of(exchange), asked["headers"])
        through = ask(
            gateway.url, asked["method"], asked["path"], body_of(exchange), asked["headers"]
        )
        same_answer(direct, through)
        first, second = fake.received
        assert (first.line, end_to_end(first.headers), first.body) == (
            second.line,
            end_to_end(second.headers),
            second.body,
        ), exchange["name"]
        assert second.header("host") == urlsplit(fake.url).netloc
        passed += 1
    assert passed > 100


@pytest.mark.parametrize("model", ["other", "m"])
def test_a_stream_is_passed_on_as_it_comes(
    fake: FakeOllama, routed: GatewayProcess, model: str
) -> None:
    gates = [threading.Event() for _ in LINES]
    steps = stream([line.replace(b"m:latest", b"qi-agent:v1.1.0") for line in LINES])
    fake.play(
        [
            steps[0],
            *(step for pair in zip(steps[1:], gates, strict=False) for step in pair),
            steps[-1],
        ]
    )
    seen: list[bytes] = []

    def on_chunk(data: bytes) -> None:
        gates[len(seen)].set()  # the next chunk is sent only once this one has arrived
        seen.append(data)

    answer = ask(
        routed.url, "POST", "/api/chat", {"model": model, "messages": []}, on_chunk=on_chunk
    )
    assert answer.whole
    assert len(seen) == len(LINES)


def test_headers_come_before_a_slow_first_byte(fake: FakeOllama, gateway: GatewayProcess) -> None:
    gate = threading.Event()
    steps = stream(LINES)
    fake.play([steps[0], gate, *steps[1:]])
    with connect(gateway.url) as link:
        link.sendall(
            request_bytes(urlsplit(gateway.url).netloc, "POST", "/api/chat", b'{"model":"m"}', {})
        )
        assert b"\r\n\r\n" in link.recv(65536)
        gate.set()
        assert link.recv(65536)


def test_a_client_that_leaves_ends_the_request_upstream(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    for steps in ([HANG], [*stream(LINES)[:2], HANG]):
        fake.play(steps)
        with connect(gateway.url) as link:
            link.sendall(
                request_bytes(
                    urlsplit(gateway.url).netloc, "POST", "/api/chat", b'{"model":"m"}', {}
                )
            )
            if len(steps) > 1:
                assert link.recv(65536)
            fake.wait_asked()
        assert fake.hung_up.wait(10)


@pytest.mark.parametrize("model", ["other", "m"])
def test_an_answer_that_breaks_off_breaks_off(
    fake: FakeOllama, routed: GatewayProcess, model: str
) -> None:
    lines = [line.replace(b"m:latest", b"qi-agent:v1.1.0") for line in LINES]
    steps = stream(lines)
    fake.play([b"".join(step for step in steps[:4] if isinstance(step, bytes)), DIE])
    direct = ask(fake.url, "POST", "/api/chat", {"model": model, "messages": []})
    through = ask(routed.url, "POST", "/api/chat", {"model": model, "messages": []})
    assert not direct.whole
    assert not through.whole
    assert through.body == (
        direct.body if model == "other" else direct.body.replace(b"qi-agent:v1.1.0", b"m")
    )
    fake.play(
        [
            head("HTTP/1.1 200 OK", ("Content-Type", "application/json"), ("Content-Length", "100"))
            + b'{"model":',
            DIE,
        ]
    )
    assert not ask(routed.url, "POST", "/api/chat", {"model": model, "messages": []}).whole


def test_large_bodies_pass(fake: FakeOllama, gateway: GatewayProcess) -> None:
    image = b"A" * (101 * 1024 * 1024)
    fake.play(whole(b'{"done":true}'))
    for path, body in (
        ("/api/chat", b'{"model":"m","messages":[{"images":["' + image + b'"]}]}'),
        ("/api/blobs/sha256:0", image),
    ):
        assert ask(gateway.url, "POST", path, body).body == b'{"done":true}'
        assert fake.received[-1].body == body
    fake.play(whole(image))
    assert ask(gateway.url, "GET", "/api/anything").body == image


def test_chunked_requests_pass(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b"{}"))
    for path in ("/api/chat", "/api/blobs/sha256:0"):
        ask(
            gateway.url,
            "POST",
            path,
            chunk(b'{"model":') + chunk(b'"m"}') + b"0\r\n\r\n",
            {"Transfer-Encoding": "chunked"},
        )
        assert fake.received[-1].body == b'{"model":"m"}'


def test_an_answer_before_the_end_of_an_upload_arrives(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.read_bodies = False
    try:
        fake.play([*whole(b'{"status":"there"}'), HANG])
        with connect(gateway.url) as link:
            link.sendall(
                request_bytes(
                    urlsplit(gateway.url).netloc,
                    "POST",
                    "/api/blobs/sha256:0",
                    b"x" * 100,
                    {"Content-Length": "1000"},
                )
            )
            assert read_answer(link).body == b'{"status":"there"}'
    finally:
        fake.read_bodies = True


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play(whole(b"{}"))
    with connect(gateway.url) as link:
        raw = request_bytes(
            urlsplit(gateway.url).netloc,
            "POST",
            "/api/chat",
            b'{"model":"m"}',
            {"Expect": "100-continue"},
        )
        link.sendall(raw[:-13])
        assert link.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(raw[-13:])
        assert read_answer(link).body == b"{}"
    assert fake.received[-1].header("expect") is None


def test_a_client_of_http_1_0_gets_no_chunks(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(stream(LINES))
    with connect(gateway.url) as link:
        raw = request_bytes(urlsplit(gateway.url).netloc, "POST", "/api/chat", b'{"model":"m"}', {})
        link.sendall(raw.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = read_answer(link)
    assert answer.chunks is None
    assert answer.body == b"".join(LINES)


def test_requests_on_one_connection_follow_each_other(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    with connect(gateway.url) as link:
        for k in range(3):
            fake.play(stream([b"%d" % k]) if k % 2 else whole(b"%d" % k))
            link.sendall(
                request_bytes(
                    urlsplit(gateway.url).netloc, "POST", "/api/chat", b'{"model":"m"}', {}
                )
            )
            assert read_answer(link).body == b"%d" % k


def test_headers_of_one_hop_and_our_own_stay_behind(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    hop = (("Connection", "close, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "9"))
    fake.play(
        [
            head(
                "HTTP/1.1 299 Odd",
                *hop,
                ("Set-Cookie", "a"),
                ("Set-Cookie", "b"),
                ("Content-Length", "0"),
            )
        ]
    )
    sent = {
        "Connection": "X-Mine",
        "X-Mine": "1",
        "TE": "trailers",
        "x-qi-learn-project": "/p",
        "X-Qi-Learn-Session": "s",
    }
    sent |= {"Authorization": "Bearer t", "X-Kept": "yes"}
    answer = ask(gateway.url, "POST", "/api/chat?q=%2F", b'{"model":"m"}', sent)
    got = fake.received[-1]
    assert got.line == "POST /api/chat?q=%2F HTTP/1.1"
    assert {name.lower() for name, _ in got.headers} == {
        "host",
        "accept",
        "authorization",
        "x-kept",
        "content-length",
    }
    assert got.header("authorization") == "Bearer t"
    assert answer.status == "HTTP/1.1 299 Odd"
    assert answer.headers == [("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Length", "0")]


def test_redirects_and_cookies_are_the_clients_business(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play(
        [
            head(
                "HTTP/1.1 307 Temporary Redirect",
                ("Location", "/elsewhere"),
                ("Set-Cookie", "id=1; Path=/"),
                ("Content-Length", "0"),
            )
        ]
    )
    for _ in range(2):
        assert ask(gateway.url, "GET", "/api/tags").header("location") == "/elsewhere"
        assert fake.received[-1].header("cookie") is None
    assert len(fake.received) == 2


def test_no_upstream_is_said_in_the_form_of_the_api(tmp_path: Path) -> None:
    with refusing_port() as port, a_gateway(f"http://127.0.0.1:{port}", tmp_path) as gateway:
        for path, shape in (
            ("/api/chat", "text"),
            ("/v1/chat/completions", "object"),
            ("/v1/messages", "typed"),
            ("/api/tags", "text"),
        ):
            answer = ask(gateway.url, "POST", path, {"model": "m"})
            assert answer.status.startswith("HTTP/1.1 502")
            error = answer.json["error"]
            assert answer.json.get("type") == ("error" if shape == "typed" else None)
            message = error if shape == "text" else error["message"]
            assert all(
                words in message
                for words in (
                    f"does not answer at http://127.0.0.1:{port}",
                    "qi-learn status",
                    "qi-learn doctor",
                )
            )
            assert "ssl" not in message  # a library's words are not a person's
        assert gateway.turns() == []
