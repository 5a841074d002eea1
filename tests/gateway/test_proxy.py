"""What passes the gateway is what was sent: recorded exchanges of two real Ollamas byte for byte,
streams as they come, faults as they are.

A routed exchange differs in the value of `model` alone, and a client that leaves takes its request
to the upstream down with it.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.fake_ollama import (
    DIE,
    HANG,
    RECORDINGS,
    Answer,
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

ROUTES = {
    "format": 1,
    "alias": "qi-agent:latest",
    "answer_for": ["rec-a:v1", "m:latest"],
    "live": "qi-agent:v1.1.0",
    "digest": "d1",
    "arms": [],
    "salt": "",
}
ENDPOINTS = (
    "/api/chat",
    "/api/generate",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
NOT_PASSED = {"connection", "transfer-encoding", "host"}
LINES = [
    b'{"model":"m:latest","message":{"role":"assistant","content":"word %d"},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with a_gateway(fake.url, tmp_path_factory.mktemp("plain")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def routed(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with a_gateway(fake.url, tmp_path_factory.mktemp("routed")) as gateway:
        gateway.paths.routes.parent.mkdir(parents=True, exist_ok=True)
        gateway.paths.routes.write_text(json.dumps(ROUTES))
        yield gateway


def end_to_end(
    headers: list[tuple[str, str]] | tuple[tuple[str, str], ...],
) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in NOT_PASSED]


def body_of(exchange: dict[str, Any]) -> bytes | None:
    body = exchange["request"]["body"]
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def same_answer(left: Answer, right: Answer) -> None:
    assert left.status == right.status
    assert end_to_end(left.headers) == end_to_end(right.headers)
    assert left.chunks == right.chunks
    assert left.body == right.body
    assert left.whole
    assert right.whole


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


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
def test_a_routed_exchange_differs_in_the_model_alone(
    fake: FakeOllama, routed: GatewayProcess, recording: dict[str, Any]
) -> None:
    passed = 0
    for exchange in recording["exchanges"]:
        asked = exchange["request"]
        if (
            asked["path"] not in ENDPOINTS
            or not isinstance(asked["body"], dict)
            or asked["body"].get("model") != "rec-a:v1"
        ):
            continue
        text = json.dumps({k: v for k, v in exchange.items() if k in ("chunks", "body")})
        answered = json.loads(
            text.replace('\\"model\\":\\"rec-a:v1\\"', '\\"model\\":\\"qi-agent:v1.1.0\\"')
        )
        length = (
            [("Content-Length", str(len(answered["body"].encode())))] if "body" in answered else []
        )
        headers = [h for h in exchange["headers"] if h[0] != "Content-Length"] + length
        fake.play(recorded({**exchange, **answered, "headers": headers}))
        through = ask(routed.url, "POST", asked["path"], body_of(exchange), asked["headers"])
        (got,) = fake.received
        sent = body_of(exchange)
        assert sent is not None
        assert got.body == sent.replace(b'"model": "rec-a:v1"', b'"model": "qi-agent:v1.1.0"', 1)
        assert got.header("content-length") == str(len(got.body))
        assert (
            through.body
            == (exchange["body"] if "body" in exchange else "".join(exchange["chunks"])).encode()
        )
        assert through.chunks == (
            [piece.encode() for piece in exchange["chunks"]] if "chunks" in exchange else None
        )
        assert through.header("x-qi-learn-model") == "qi-agent:v1.1.0"
        assert through.whole
        passed += 1
    assert passed > 20


def test_only_inference_is_routed(fake: FakeOllama, routed: GatewayProcess) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0"}'))
    for method, path in (
        ("DELETE", "/api/delete"),
        ("POST", "/api/show"),
        ("POST", "/api/embed"),
        ("POST", "/v1/embeddings"),
        ("POST", "/api/chat/"),
    ):
        answer = ask(routed.url, method, path, b'{"model":"rec-a:v1"}')
        assert fake.received[-1].body == b'{"model":"rec-a:v1"}'
        assert answer.body == b'{"model":"qi-agent:v1.1.0"}'
        assert answer.header("x-qi-learn-model") is None


def test_a_version_asked_by_its_own_name_means_itself(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.0.0","response":"x","done":true}'))
    answer = ask(
        routed.url,
        "POST",
        "/api/generate",
        b'{"model":"qi-agent:v1.0.0","prompt":"say \\"model\\": \\"qi-agent\\""}',
    )
    assert (
        fake.received[-1].body
        == b'{"model":"qi-agent:v1.0.0","prompt":"say \\"model\\": \\"qi-agent\\""}'
    )
    assert answer.header("x-qi-learn-model") is None


def test_a_routed_stream_cut_in_the_middle_of_the_name_comes_back_whole(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    lines = b"".join(LINES).replace(b"m:latest", b"qi-agent:v1.1.0")
    fake.play(stream([lines[k : k + 7] for k in range(0, len(lines), 7)]))
    answer = ask(
        routed.url,
        "POST",
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": '{"model":"m"}'}]},
    )
    assert answer.body == b"".join(LINES).replace(b'"m:latest"', b'"m"')
    assert answer.whole


def test_a_routed_document_without_a_length_is_changed_as_a_whole(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    document = b'{"text":"\\"model\\":\\"qi-agent:v1.1.0\\"","model":"qi-agent:v1.1.0"}'
    fake.play(stream([document[:50], document[50:]], "application/json"))
    answer = ask(routed.url, "POST", "/v1/chat/completions", {"model": "qi-agent", "messages": []})
    assert answer.body == b'{"text":"\\"model\\":\\"qi-agent:v1.1.0\\"","model":"qi-agent"}'


def test_a_new_route_holds_for_the_next_request_and_a_broken_file_changes_nothing(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.play(whole(b'{"done":true}'))

    def sent(gateway: GatewayProcess) -> Any:
        ask(
            gateway.url,
            "POST",
            "/api/chat",
            {"model": "qi-agent", "messages": []},
            {"x-qi-learn-session": "s1"},
        )
        return json.loads(fake.received[-1].body)["model"]

    def put(gateway: GatewayProcess, text: str) -> None:
        temp = gateway.paths.data / "new"
        temp.write_text(text)
        temp.replace(gateway.paths.routes)

    with a_gateway(fake.url, tmp_path) as gateway:
        assert sent(gateway) == "qi-agent"
        put(gateway, json.dumps(ROUTES))
        assert sent(gateway) == "qi-agent:v1.1.0"
        put(gateway, "{")
        assert sent(gateway) == "qi-agent:v1.1.0"
        assert "routes.json" in gateway.status["routes_problem"]
        put(gateway, json.dumps({**ROUTES, "arms": [{"model": "qi-agent:v1.2.0", "share": 1.0}]}))
        assert sent(gateway) == "qi-agent:v1.2.0"
        assert gateway.status["routes_problem"] is None


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


def test_encoded_bodies_pass_as_they_are(fake: FakeOllama, routed: GatewayProcess) -> None:
    packed = gzip.compress(b'{"model":"qi-agent:v1.1.0","done":true}')
    fake.play(
        [
            head(
                "HTTP/1.1 200 OK",
                ("Content-Type", "application/json"),
                ("Content-Encoding", "gzip"),
                ("Content-Length", str(len(packed))),
            )
            + packed
        ]
    )
    request = gzip.compress(b'{"model":"m"}')
    answer = ask(
        routed.url,
        "POST",
        "/api/chat",
        request,
        {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
    )
    assert fake.received[-1].body == request
    assert fake.received[-1].header("accept-encoding") == "gzip"
    assert answer.body == packed


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
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with a_gateway(nobody, tmp_path) as gateway:
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
            assert all(words in message for words in (nobody, "qi-learn status", "qi-learn doctor"))
        assert gateway.turns() == []
