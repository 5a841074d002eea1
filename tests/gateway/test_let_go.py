"""What an exchange held goes with it, however it ends: not only once the collector runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.gateway.__main__ import Served, serve
from qi_learn.gateway.exchange import Exchange
from qi_learn.gateway.relay import Relay
from qi_learn.paths import Paths
from qi_learn.settings import GatewaySettings, Settings
from tests.support.exchanges import ROUTES

LINE = b'{"model":"qi-agent:v1.1.0","message":{"role":"assistant","content":"a"},"done":false}\n'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n%b\r\n"
)
HEAD = CHUNKED % b""
CHUNK = b"%x\r\n%b\r\n" % (len(LINE), LINE)
ANSWERS = {
    "whole": (HEAD + CHUNK, b"0\r\n\r\n"),
    "no head": (b"",),
    "half a head": (HEAD[:40],),
    "cut": (HEAD + CHUNK,),
    "cut in a chunk": (HEAD + CHUNK[:30],),
    "cut later": (HEAD + CHUNK, CHUNK),
    "no chunk": (HEAD + CHUNK, b"zz\r\n"),
    "no gzip": (CHUNKED % b"Content-Encoding: gzip\r\n" + CHUNK, CHUNK),
    "less than announced": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n" + LINE,
    ),
}
SECONDS = 10.0
"""For the gateway to be done with an exchange."""


def exchanges() -> list[object]:
    """What is held of exchanges, with no help of the collector."""
    kept = (Exchange, Relay)  # by type: to ask some objects for their class warns
    return [held for held in gc.get_objects() if issubclass(type(held), kept)]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def held_after(home: Path, answer: tuple[bytes, ...], model: str, *, leaves: bool) -> int:
    """How many exchanges are held once a request and its answer are over."""

    over = asyncio.Event()

    async def answer_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"}]}")
                for piece in answer:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.05)
                if leaves:
                    await reader.read()
        finally:
            await closed(writer)
            over.set()

    upstream = await asyncio.start_server(answer_it, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    paths = Paths.under(home).ensure()
    paths.routes.write_text(json.dumps(ROUTES))
    stop, ready = asyncio.Event(), home / "ready"
    settings = Settings(gateway=GatewaySettings(port=0))
    gateway = asyncio.create_task(
        serve(Served(f"http://127.0.0.1:{port}", paths, settings, ready), stop)
    )
    while not ready.exists():
        await asyncio.sleep(0.01)
    at = json.loads(ready.read_text())["url"].rpartition(":")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(at))
    body = b'{"model":"%b","messages":[{}]}' % model.encode()
    writer.write(
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    if leaves:
        await asyncio.sleep(0.3)
        writer.close()
    else:
        await reader.read()
    left = asyncio.get_running_loop().time() + SECONDS
    while (held := len(exchanges())) and asyncio.get_running_loop().time() < left:
        await asyncio.sleep(0.05)
    await closed(writer)
    stop.set()
    await gateway
    await asyncio.wait_for(over.wait(), SECONDS)
    upstream.close()
    return held


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", ["other", "m"])
@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_exchange_is_let_go_when_it_is_over(
    tmp_path: Path, answer: str, leaves: bool, model: str
) -> None:
    assert not asyncio.run(held_after(tmp_path, ANSWERS[answer], model, leaves=leaves))
