"""Clients that send their end early, ask for a whole URL, or send what is no HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import sys

import pytest

from tests.support.fake_ollama import (
    FakeOllama,
    GatewayProcess,
    connect,
    head,
    read_answer,
    request_bytes,
    whole,
)

TAGS = b'{"models":[]}'


@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_a_client_that_sends_its_end_early_is_answered(
    fake: FakeOllama, gateway: GatewayProcess, seconds: float
) -> None:
    fake.play([seconds, *whole(TAGS)])
    with connect(gateway.url) as link:
        link.sendall(request_bytes("localhost", "GET", "/api/tags", None, {}))
        link.shutdown(socket.SHUT_WR)
        answer = read_answer(link, "GET")
        assert (answer.whole, answer.body) == (True, TAGS)
        assert link.recv(1) == b"", "the gateway closes as well"


def test_a_client_that_asks_a_model_and_sends_its_end_has_left(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play(["hang"])
    body = json.dumps({"model": "m", "input": "x"}).encode()
    with connect(gateway.url) as link:
        link.sendall(request_bytes("localhost", "POST", "/api/embed", body, {}))
        fake.wait_asked()
        link.shutdown(socket.SHUT_WR)
        assert fake.hung_up.wait(20)


@pytest.mark.skipif(sys.platform != "linux", reason="the sender's end is listed by Linux alone")
@pytest.mark.parametrize("length", [0, 100_000_000])
def test_a_client_that_leaves_more_behind_than_is_read_has_left(
    fake: FakeOllama, gateway: GatewayProcess, length: int
) -> None:
    """Further requests, many small ones or a long one, that nothing takes while a model works."""
    fake.play(["hang"])
    body = json.dumps({"model": "m", "messages": []}).encode()
    with connect(gateway.url) as link:
        link.sendall(request_bytes("localhost", "POST", "/api/chat", body, {}))
        fake.wait_asked()
        small = request_bytes("localhost", "GET", "/api/tags", None, {})
        head_of_long = (
            f"POST /api/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        )
        link.sendall(head_of_long.encode() if length else small)
        link.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # nothing goes out any more
            while True:
                link.sendall(b"x" * 50_000 if length else small * 1000)
    assert fake.hung_up.wait(20)


def test_a_client_that_sends_more_and_stays_is_answered(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play([1.5, *whole(TAGS)])
    body = json.dumps({"model": "m", "messages": []}).encode()
    with connect(gateway.url) as link:
        link.sendall(request_bytes("localhost", "POST", "/api/chat", body, {}))
        link.sendall(request_bytes("localhost", "POST", "/api/embed", b"x" * 3_000_000, {}))
        answers = b""
        while answers.count(TAGS) < 2 and (piece := link.recv(65536)):
            answers += piece
    assert answers.count(TAGS) == 2


@pytest.mark.parametrize("path", ["/api/tags", "", "/api/tags?x=1"])
def test_a_whole_url_is_served(fake: FakeOllama, gateway: GatewayProcess, path: str) -> None:
    fake.play(whole(TAGS))
    with connect(gateway.url) as link:
        link.sendall(request_bytes("else", "GET", f"http://127.0.0.1:11434{path}", None, {}))
        assert read_answer(link, "GET").body == TAGS
    assert fake.received[-1].line == f"GET {path or '/'} HTTP/1.1"


def test_a_whole_url_that_names_a_model_is_recorded(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    gateway.turns()
    fake.play(whole(b'{"message":{"content":"ok"},"done":true}'))
    body = json.dumps({"model": "m", "messages": []}).encode()
    with connect(gateway.url) as link:
        link.sendall(request_bytes("x", "POST", "HTTP://localhost:11434/api/chat", body, {}))
        assert read_answer(link).json["done"]
    (turn,) = gateway.turns(1)
    assert turn.body["endpoint"] == "/api/chat"


def test_a_whole_url_of_another_host_is_refused(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(TAGS))
    with connect(gateway.url) as link:
        link.sendall(request_bytes("localhost", "GET", "http://evil.example/api/tags", None, {}))
        assert read_answer(link, "GET").status == "HTTP/1.1 403 Forbidden"
    assert not fake.received


def test_what_is_no_http_stays_out_of_the_log(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play(whole(b"{}"))
    text = "é" * 40 + " my secret plan"
    counted = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
    broken = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nAuthorization: secret\x01\r\n\r\n"
    for sent in (broken, (counted + text).encode()):
        with connect(own.url) as link:
            link.sendall(sent)
            while link.recv(65536):
                pass
    log = own.log.read_text()  # it logs before it answers; of a wrong method it says nothing
    assert "a request that is no HTTP was refused" in log
    assert "secret" not in log
    assert "Traceback" not in log


def test_bytes_of_a_head_that_are_no_utf8_pass_both_ways(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    odd = "M\xfcller \xe2\x82\xac \xff"  # Latin-1 and UTF-8, byte for byte
    opening = head("HTTP/1.1 200 Alles kl\xe4r", ("X-Odd", odd), ("Content-Length", "2"))
    fake.play([opening + b"{}"])
    for method, path in (("GET", "/api/tags"), ("POST", "/api/chat")):
        body = b'{"model":"m","messages":[]}' if method == "POST" else None
        with connect(gateway.url) as link:
            link.sendall(request_bytes("localhost", method, path, body, {"X-Odd": odd}))
            answer = read_answer(link, method)
        assert answer.header("X-Odd") == odd
        assert answer.status == "HTTP/1.1 200 Alles kl\xe4r"
        assert fake.received[-1].header("X-Odd") == odd
