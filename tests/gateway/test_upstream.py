"""The connection to the upstream: what goes out is what aiohttp's client would have sent, and every
answer ends, as a whole or broken off.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import http_writer
from multidict import CIMultiDict
from yarl import URL

from qi_learn.errors import ServerUnreachable
from qi_learn.gateway.answer_parser import HEAD_LIMIT
from qi_learn.gateway.header_bytes import head_bytes
from qi_learn.gateway.upstream import Upstream
from qi_learn.gateway.upstream_answer import READ_AHEAD, BrokenOff
from qi_learn.gateway.upstream_link import Body
from tests.support.upstreams import answering, whole, with_server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp adds of its own."""
HEADERS: tuple[list[tuple[str, str]], ...] = (
    [],
    [("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")],
    [("Cookie", "a=b; c=d"), ("Content-Encoding", "gzip"), ("X-Latin", "caf\udce9")],
)


async def sent(headers: list[tuple[str, str]], body: Body, *, by_aiohttp: bool = False) -> bytes:
    """What came at a server that answers once it has everything."""
    come = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        come.extend(head)
        if b"chunked" in head:
            come.extend(await reader.readuntil(b"0\r\n\r\n"))
        else:
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            come.extend(await reader.readexactly(length))
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    named = CIMultiDict(headers)
    async with server:
        if by_aiohttp:
            # aiohttp warns of so many bytes in one piece
            given = io.BytesIO(body) if isinstance(body, bytes) and len(body) > 1 << 20 else body
            url = URL(f"http://127.0.0.1:{port}/api/chat?x=%2F", encoded=True)
            async with (
                aiohttp.ClientSession(skip_auto_headers=AUTOMATIC) as session,
                session.request("POST", url, headers=named, data=given) as got,
            ):
                assert await got.read() == b"{}"
        else:
            ours = await Upstream(f"http://127.0.0.1:{port}").ask(
                "POST", "/api/chat?x=%2F", named, body
            )
            assert await whole(ours) == [b"{}"]
    return bytes(come).replace(b":%d" % port, b":port")


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 300_000, b"x" * 3_000_000])
def test_the_bytes_are_those_of_aiohttp(
    headers: list[tuple[str, str]], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_writer, "_serialize_headers", head_bytes)
    ours = asyncio.run(sent(headers, body))
    assert ours == asyncio.run(sent(headers, body, by_aiohttp=True))
    assert ours.endswith(body)


def test_a_body_in_pieces_goes_in_chunks_unless_its_length_is_known() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    come = asyncio.run(sent([], pieces()))
    assert come == asyncio.run(sent([], pieces(), by_aiohttp=True))
    assert come.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert asyncio.run(sent([("Content-Length", "6")], pieces())).endswith(b"\r\n\r\nonetwo")


ENDS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"cde"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\n",
        b"cd",
        b"e\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ),
    "early hints": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200",
        b" OK\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    "no line ends in CR": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nabcde",),
}


@pytest.mark.parametrize("parts", ENDS.values(), ids=ENDS)
def test_a_whole_answer_comes_as_it_is_cut_and_its_connection_serves_again(
    parts: tuple[bytes, ...],
) -> None:
    ports: set[int] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        await answering(*parts)(reader, writer)

    async def ask(upstream: Upstream) -> None:
        for _ in range(3):
            answer = await upstream.ask("GET", "/", CIMultiDict())
            assert (answer.status, answer.reason) == (200, "OK")
            assert "Link" not in answer.headers
            assert b"".join(await whole(answer)) == b"abcde"
            answer.close()  # without effect
            assert "X-Trailer" not in answer.headers

    with_server(serve, ask)
    assert len(ports) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_an_answer_without_a_length_ends_with_its_connection(head: bytes) -> None:
    async def ask(upstream: Upstream) -> None:
        answer = await upstream.ask("GET", "/", CIMultiDict())
        assert b"".join(await whole(answer)) == b"abcde"

    with_server(answering(head + b"ab", b"cde", leave=True), ask)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("POST", 204), ("GET", 304)], ids=str
)
def test_an_answer_without_a_body_is_whole_with_its_head(method: str, status: int) -> None:
    async def ask(upstream: Upstream) -> None:
        for _ in range(2):
            answer = await upstream.ask(method, "/", CIMultiDict(), None)
            assert (await answer.more(), answer.status) == (([], True), status)

    with_server(answering(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status), ask)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "before its head": (b"",),
    "in its head": (b"HTTP/1.1 200 OK\r\nContent-",),
    "before its length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",),
    "in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",),
    "before the last chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ),
    "by a chunk that is none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ),
    "with what is no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n",),
    "by another protocol": (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nabc",),
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_told_after_all_that_came(parts: tuple[bytes, ...]) -> None:
    async def ask(upstream: Upstream) -> None:
        come = b""
        try:
            answer = await upstream.ask("GET", "/", CIMultiDict())
            ended = False
            while not ended:
                pieces, ended = await answer.more()
                come += b"".join(pieces)
        except BrokenOff:
            ended = False
        assert not ended
        assert come == (b"abc" if b"200 OK\r\n" in parts[0] and b"abc" in parts[0] else b"")

    with_server(answering(*parts, leave=True), ask)


def test_a_head_without_an_end_is_not_held_for_ever() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            for _ in range(4 * HEAD_LIMIT // 10_000):
                writer.write(b"X-A: %b\r\n" % (b"a" * 10_000))
                await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        writer.close()

    async def ask(upstream: Upstream) -> None:
        with pytest.raises(BrokenOff, match="no end"):
            await upstream.ask("GET", "/", CIMultiDict())

    with_server(serve, ask)


def test_more_than_was_asked_for_ends_the_connection_and_no_other_answer_takes_it() -> None:
    ports: set[int] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        await answering(ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")(
            reader, writer
        )

    async def ask(upstream: Upstream) -> None:
        for _ in range(3):
            assert await whole(await upstream.ask("GET", "/", CIMultiDict())) == [b"{}"]

    with_server(serve, ask)
    assert len(ports) == 3


def test_a_connection_that_closed_meanwhile_is_asked_again_only_if_that_is_safe() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first request of a connection, and break off at the second."""
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.transport.abort()

    async def ask(upstream: Upstream) -> None:
        for _ in range(3):
            assert await whole(await upstream.ask("GET", "/", CIMultiDict())) == [b"{}"]
        with pytest.raises(BrokenOff):
            await upstream.ask("POST", "/", CIMultiDict(), None)

    with_server(serve, ask)
    assert [line[:4] for line in asked] == [b"GET ", b"GET ", b"GET ", b"GET ", b"GET ", b"POST"]


def test_what_is_not_taken_is_not_read_and_all_of_it_comes_in_the_end() -> None:
    length = 200 * READ_AHEAD
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for _ in range(length // READ_AHEAD):
            writer.write(b"x" * READ_AHEAD)
            await writer.drain()
            written += READ_AHEAD
        writer.close()

    async def ask(upstream: Upstream) -> None:
        answer = await upstream.ask("GET", "/", CIMultiDict())
        await asyncio.sleep(0.5)
        before = written
        await asyncio.sleep(0.5)
        assert written == before < length / 2
        assert sum(map(len, await whole(answer))) == length

    with_server(serve, ask)


def test_an_early_answer_leaves_the_rest_of_the_request_unsent() -> None:
    """A server that refuses a long request answers before it has read it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER.replace(b"200 OK", b"413 Too Large"))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    async def ask(upstream: Upstream) -> None:
        answer = await upstream.ask("POST", "/", CIMultiDict(), b"x" * 50_000_000)
        assert (answer.status, await whole(answer)) == (413, [b"{}"])

    with_server(serve, ask)


def test_half_a_body_is_no_request() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        left.set()

    async def half() -> AsyncIterator[bytes]:
        yield b"one"
        raise ConnectionResetError

    async def ask(upstream: Upstream) -> None:
        with pytest.raises(BrokenOff, match="the request broke off"):
            await upstream.ask("POST", "/", CIMultiDict(), half())
        await left.wait()

    with_server(serve, ask)


@pytest.mark.parametrize("asked", [b"x" * 50_000_000, b"{}"], ids=["while it is sent", "after it"])
def test_who_stops_to_wait_leaves_the_server(asked: bytes) -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if len(asked) > 2:
            await asyncio.sleep(0.2)
        with suppress(ConnectionError):
            await reader.read(-1)
        writer.close()
        left.set()

    async def ask(upstream: Upstream) -> None:
        asking = asyncio.create_task(upstream.ask("POST", "/", CIMultiDict(), asked))
        await asyncio.sleep(0.1)
        asking.cancel()
        await left.wait()

    with_server(serve, ask)


def test_a_server_that_is_not_there_is_told_as_that() -> None:
    async def ask() -> None:
        server = await asyncio.start_server(answering(ANSWER), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await Upstream(f"http://127.0.0.1:{port}").ask("GET", "/", CIMultiDict())

    with pytest.raises(ServerUnreachable):
        asyncio.run(ask())
