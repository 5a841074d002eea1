"""Servers of one behaviour, asked over the gateway's own connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from qi_learn.gateway.upstream import Upstream
from qi_learn.gateway.upstream_answer import UpstreamAnswer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Ask = Callable[[Upstream], Awaitable[None]]


def with_server(serve: Serve, ask: Ask) -> None:
    """Ask a server of this behaviour."""

    async def run() -> None:
        serving: set[asyncio.Future[None]] = set()

        async def remembered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(served := asyncio.ensure_future(serve(reader, writer)))
            await served
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

        async with await asyncio.start_server(remembered, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            upstream = Upstream(f"http://127.0.0.1:{port}")
            try:
                await asyncio.wait_for(ask(upstream), 60)
            finally:
                upstream.close()
                await asyncio.wait_for(asyncio.gather(*serving), 60)
                await asyncio.sleep(0.01)

    asyncio.run(run())


def answering(*parts: bytes, leave: bool = False) -> Serve:
    """A server that answers each head with these bytes, a part at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if leave:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    return serve


async def whole(answer: UpstreamAnswer) -> list[bytes]:
    """The pieces of a body."""
    pieces: list[bytes] = []
    ended = False
    while not ended:
        more, ended = await answer.more()
        pieces += more
    return pieces
