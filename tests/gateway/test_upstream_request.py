"""What goes to the upstream in one piece is what aiohttp itself would have sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import http_writer
from multidict import CIMultiDict
from yarl import URL

from qi_learn.gateway.header_bytes import head_bytes
from qi_learn.gateway.upstream_request import AUTOMATIC, UpstreamRequest

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HEADERS: tuple[list[tuple[str, str]], ...] = (
    [],
    [("Content-Type", "application/json"), ("host", "a.example:1"), ("X-A", "1"), ("X-A", "2")],
    [("Cookie", "a=b; c=d"), ("Content-Encoding", "gzip"), ("X-Latin", "caf\udce9")],
    [("Expect", "100-continue")],
)


async def sent(
    request_class: type[aiohttp.ClientRequest], headers: list[tuple[str, str]], body: object
) -> bytes:
    """What came at a server that answers once it has everything."""
    come = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        come.extend(head)
        if b"100-continue" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"chunked" in head:
            come.extend(await reader.readuntil(b"0\r\n\r\n"))
        else:
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            come.extend(await reader.readexactly(length))
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = URL(f"http://127.0.0.1:{port}/api/chat?x=%2F", encoded=True)
    async with (
        server,
        aiohttp.ClientSession(request_class=request_class, skip_auto_headers=AUTOMATIC) as session,
    ):
        named = CIMultiDict(headers)
        async with session.request("POST", url, headers=named, data=body) as got:
            assert await got.read() == b"{}"
    return bytes(come).replace(b":%d" % port, b":port")


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 300_000])
def test_the_bytes_are_those_of_aiohttp(
    headers: list[tuple[str, str]], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_writer, "_serialize_headers", head_bytes)
    ours = asyncio.run(sent(UpstreamRequest, headers, body))
    assert ours == asyncio.run(sent(aiohttp.ClientRequest, headers, body))
    assert ours.endswith(body)


def test_a_body_in_pieces_goes_in_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    come = asyncio.run(sent(UpstreamRequest, [], pieces()))
    assert come.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_a_connection_that_closed_meanwhile_is_told() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def ask() -> None:
        async with await asyncio.start_server(leave, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with aiohttp.ClientSession(request_class=UpstreamRequest) as session:
                await session.request("POST", f"http://127.0.0.1:{port}/", data=b"{}" * 9)

    with pytest.raises(aiohttp.ClientError):
        asyncio.run(ask())
