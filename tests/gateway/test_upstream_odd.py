"""Odd ends of connections to the upstream: each is dealt with as it should be."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import time
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from multidict import CIMultiDict

from qi_learn.errors import SettingsError
from qi_learn.gateway.__main__ import _checked
from qi_learn.gateway.upstream import Upstream
from qi_learn.gateway.upstream_answer import BrokenOff
from tests.support.fake_ollama import DIE, FakeOllama, GatewayProcess
from tests.support.upstreams import answering, whole, with_server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NONE: CIMultiDict[str] = CIMultiDict()


class OneReader:
    """A body that two may not read at once, as aiohttp's."""

    def __init__(self) -> None:
        self.read_by = 0
        self.most = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            self.read_by += 1
            self.most = max(self.most, self.read_by)
            try:
                await asyncio.sleep(0.001)
            finally:
                self.read_by -= 1
            yield b"x" * 1000


@pytest.mark.parametrize("how", ["whole", "closed", "reset", "in pieces"])
def test_once_an_answer_has_ended_nothing_reads_the_clients_body(how: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if how == "in pieces":
            writer.write(ANSWER[:-1])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(ANSWER[-1:])
        elif how == "whole":
            writer.write(ANSWER)
        if how == "reset":
            writer.transport.abort()

    async def ask(upstream: Upstream) -> None:
        for _ in range(20):
            body = OneReader()
            with suppress(BrokenOff):
                answer = await upstream.ask("POST", "/", NONE, body.pieces())
                await whole(answer)
            assert body.read_by == 0  # else the two would read it at once
            assert body.most == 1

    with_server(serve, ask)


@pytest.mark.parametrize(
    ("coding", "cut"),
    [
        (b"Transfer-Encoding: chunked \r\n", True),
        (b"Transfer-Encoding:\t chunked\t\r\n", True),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", True),
        (b"Transfer-Encoding: gzip , chunked\r\n", True),
        (b"Transfer-Encoding: xchunked\r\n", False),
        (b"Transfer-Encoding: chunked, gzip\r\n", False),
    ],
)
def test_an_answer_is_cut_if_its_last_coding_is_chunked_and_has_no_end(
    coding: bytes, cut: bool
) -> None:
    come = b"2\r\nab\r\n"

    async def ask(upstream: Upstream) -> None:
        answer = await upstream.ask("GET", "/", NONE)
        if cut:
            with pytest.raises(BrokenOff):
                await whole(answer)
        else:
            assert b"".join(await whole(answer)) == come

    with_server(answering(b"HTTP/1.1 200 OK\r\n" + coding + b"\r\n" + come, leave=True), ask)


def test_a_connection_that_the_server_closed_is_not_asked_again() -> None:
    """It closes after each answer and does not say so; requests follow at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)

    async def ask(upstream: Upstream) -> None:
        async def one() -> None:
            for _ in range(50):
                assert await whole(await upstream.ask("POST", "/", NONE, b"")) == [b"{}"]
                time.sleep(0.002)

        await asyncio.gather(*(one() for _ in range(4)))

    with_server(serve, ask)


def test_what_ends_the_server_is_sent_again_once_at_most() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/poison" in head:
                    asked += 1
                    return
                await asyncio.sleep(0.05)
                writer.write(ANSWER)

    async def ask(upstream: Upstream) -> None:
        answers = await asyncio.gather(*(upstream.ask("GET", "/", NONE) for _ in range(10)))
        for answer in answers:
            await whole(answer)
        with pytest.raises(BrokenOff):
            await upstream.ask("GET", "/poison", NONE)
        assert asked == 2

    with_server(serve, ask)


def test_what_was_answered_in_part_is_not_sent_again() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(ANSWER[:20])

    async def ask(upstream: Upstream) -> None:
        await whole(await upstream.ask("GET", "/", NONE))
        with pytest.raises(BrokenOff):
            await upstream.ask("GET", "/", NONE)
        assert asked == 1

    with_server(serve, ask)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 000 X\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"],
)
def test_a_head_that_is_none_is_no_answer(head: bytes) -> None:
    async def ask(upstream: Upstream) -> None:
        with pytest.raises(BrokenOff, match="no HTTP"):
            await upstream.ask("GET", "/", NONE)

    with_server(answering(head), ask)


def test_blanks_around_a_headers_value_are_none_of_it() -> None:
    async def ask(upstream: Upstream) -> None:
        answer = await upstream.ask("GET", "/", NONE)
        assert dict(answer.headers) == {"X-O": "a b", "Content-Length": "2"}

    with_server(answering(b"HTTP/1.1 200 OK\r\nX-O:\t a b \t\r\nContent-Length: 2 \r\n\r\n{}"), ask)


@pytest.mark.parametrize(("method", "said"), [("POST", True), ("PUT", True), ("DELETE", False)])
def test_a_request_without_a_body_says_so_if_it_might_have_one(method: str, said: bool) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)

    async def ask(upstream: Upstream) -> None:
        await whole(await upstream.ask(method, "/", NONE, None))

    with_server(serve, ask)
    assert (b"\r\nContent-Length: 0\r\n" in heads[0]) is said


def test_one_connection_serves_many_heads() -> None:
    ports: set[int] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER[:-2] if head.startswith(b"HEAD") else ANSWER)

    async def ask(upstream: Upstream) -> None:
        for method in ("HEAD", "HEAD", "GET", "HEAD", "GET"):
            come = await whole(await upstream.ask(method, "/", NONE))
            assert come == ([] if method == "HEAD" else [b"{}"])

    with_server(serve, ask)
    assert len(ports) == 1


def test_a_path_in_the_servers_address_is_written_as_a_path() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)

    async def ask(upstream: Upstream) -> None:
        await whole(await Upstream(upstream.url + "/é b/%20").ask("GET", "/x", NONE))

    with_server(serve, ask)
    assert asked == [b"GET /%C3%A9%20b/%20/x HTTP/1.1\r\n"]


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:x", "http://a:0"])
def test_a_port_that_there_is_none_is_told_before_the_gateway_starts(url: str) -> None:
    with pytest.raises(SettingsError):
        _checked(url, 4000)


def test_a_long_request_that_was_answered_early_is_not_held() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        await asyncio.sleep(0.05)

    async def ask(upstream: Upstream) -> None:
        for _ in range(5):
            body = bytes(20_000_000)
            assert await whole(await upstream.ask("POST", "/", NONE, body)) == [b"{}"]
            del body
        await asyncio.sleep(0.2)
        assert tracemalloc.get_traced_memory()[0] < 10_000_000

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with_server(serve, ask)
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_server_that_does_not_read_sees_that_its_client_left() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        come = b"x"
        with suppress(ConnectionResetError):
            while come:
                await asyncio.sleep(0.05)
                come = await reader.read(1 << 16)
        assert come  # else it read the whole rest, and then the end

    async def ask(upstream: Upstream) -> None:
        asking = asyncio.create_task(upstream.ask("POST", "/", NONE, bytes(50_000_000)))
        await asyncio.sleep(0.3)
        asking.cancel()

    with_server(serve, ask)


@pytest.mark.parametrize("gap", [0.0, 0.002])
def test_a_client_that_still_sends_gets_an_early_answer(
    gateway: GatewayProcess, fake: FakeOllama, gap: float
) -> None:
    """On a path that is only passed on, whose body goes on as it comes."""
    fake.play([ANSWER])
    fake.read_bodies = False
    at = urlsplit(gateway.url)
    head = b"POST /api/blobs/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    for _ in range(10):
        with socket.create_connection((at.hostname, at.port)) as client:
            client.settimeout(20)
            client.sendall(head)
            for _ in range(100):
                client.sendall(bytes(10_000))
                time.sleep(gap)
            come = b""
            while b"{}" not in come:
                piece = client.recv(65536)
                assert piece, come
                come += piece
            assert come.startswith(b"HTTP/1.1 200")
    fake.read_bodies = True


def test_a_client_that_leaves_puts_no_error_into_the_log(
    own: GatewayProcess, fake: FakeOllama
) -> None:
    """It reads the head of a long answer and is gone; also one of a path that is only passed on."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + bytes(4_000_000)
    fake.play([long])
    at = urlsplit(own.url)
    body = b'{"model":"m","prompt":"x"}'
    for path in (b"/api/generate", b"/api/tags", b"/api/generate") * 5:
        with socket.create_connection((at.hostname, at.port)) as client:
            head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % (path, len(body)) + body)
            assert client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    fake.play([ANSWER])
    with socket.create_connection((at.hostname, at.port)) as client:
        client.sendall(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(100)
    log = own.paths.logs / "gateway.log"
    assert "Traceback" not in (log.read_text() if log.exists() else "")


def test_a_request_that_no_server_answered_is_counted(
    own: GatewayProcess, fake: FakeOllama
) -> None:
    fake.play([DIE])
    with socket.create_connection((urlsplit(own.url).hostname, urlsplit(own.url).port)) as client:
        body = b'{"model":"m","prompt":"x"}'
        head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        client.sendall(head % len(body) + body)
        assert b" 502 " in client.recv(1000)
    with urllib.request.urlopen(own.url + "/qi/state") as answer:
        state = json.load(answer)
    assert (state["requests"], state["recorded"]) == (1, 0)
    assert state["not_recorded"] == {"no_answer": 1}
