"""The servers of `scripts/bench gateway`: an upstream with one answer, and a bare proxy."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from qi_learn.paths import replace_file

LIVE = "qi-agent:v1.1.0"
QUESTION = {
    "messages": [
        {"role": "user", "content": "Write a function that adds tax to prices.\n" + "x = 1\n" * 500}
    ],
    "stream": True,
}
WORDS = 16
PACE = 0.5
"""Seconds between two chunks of an open stream."""


def request_of(model: str) -> bytes:
    return json.dumps({"model": model, **QUESTION}).encode()


def answer_of(model: str) -> tuple[bytes, bytes]:
    """The first chunk of an answer, and the rest of it."""
    lines = [
        json.dumps(
            {
                "model": model,
                "created_at": "2026-11-20T12:22:08.633Z",
                "message": {"role": "assistant", "content": f"word{k}"},
                "done": k == WORDS - 1,
            }
        )
        for k in range(WORDS)
    ]
    chunks = [b"%x\r\n%b\n\r\n" % (len(line) + 1, line.encode()) for line in lines]
    return chunks[0], b"".join(chunks[1:]) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """A server that answers a known question at once, first chunk first; anything else with 500."""

    HEAD = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    WRONG = b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    SLOW = b"POST /api/generate "
    """Asks for a stream that ends when its client leaves."""
    LARGE = b"POST /v1/completions "
    """Is answered with a short document, however long it is."""

    def __init__(self) -> None:
        self._pacer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._answers = {request_of(model): answer_of(model) for model in ("plain:latest", LIVE)}
        self._come = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._pacer is not None:
            self._pacer.cancel()

    def _answer_large(self) -> None:
        if not self._unread:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def _send_chunk(self) -> None:
        """A chunk that says when it was sent, and the next in `PACE` seconds."""
        line = b'{"sent":%.6f,"done":false}\n' % time.perf_counter()
        self._transport.write(b"%x\r\n%b\r\n" % (len(line), line))
        self._pacer = asyncio.get_running_loop().call_later(PACE, self._send_chunk)

    def data_received(self, data: bytes) -> None:
        if self._unread:
            self._unread -= len(data)
            self._answer_large()
            return
        self._come = self._come + data if self._come else data
        head, end, rest = self._come.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if head.startswith(self.LARGE):
            self._come, self._unread = b"", length - len(rest)
            self._answer_large()
            return
        if len(rest) < length:
            return
        self._come = b""
        if head.startswith(self.SLOW):
            self._transport.write(self.HEAD)
            self._send_chunk()
            return
        answer = self._answers.get(rest[:length])
        if answer is None:
            self._transport.write(self.WRONG)
            return
        self._transport.write(self.HEAD + answer[0])
        asyncio.get_running_loop().call_soon(self._transport.write, answer[1])


async def serve_upstream(ready: Path) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    announce(ready, server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_bare(ready: Path, upstream: str) -> None:
    """Serve the least that a proxy made of aiohttp can do."""
    async with aiohttp.ClientSession(
        auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            async with session.request(
                request.method,
                upstream + request.path_qs,
                data=await request.content.read(),
                headers=request.headers,
            ) as answer:
                out = web.StreamResponse(
                    status=answer.status,
                    headers={"Content-Type": answer.headers.get("Content-Type", "")},
                )
                await out.prepare(request)
                async for data, _ in answer.content.iter_chunks():
                    await out.write(data)
                await out.write_eof()
                return out

        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        announce(ready, runner.addresses[0][1])
        await asyncio.Event().wait()


def announce(ready: Path, port: int) -> None:
    replace_file(ready, json.dumps({"url": f"http://127.0.0.1:{port}"}))
