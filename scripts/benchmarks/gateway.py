"""What the gateway adds to a request: `scripts/bench gateway [SECONDS]`.

Four ways to the same upstream in one run, every part a process of its own: direct, a bare aiohttp
proxy that neither checks nor records (on asyncio's own loop), the gateway with recording on, and
the gateway on a name that it routes. Each proxy is asked in turn with the direct way alone, in
`BLOCKS` short blocks: asked all in one round, the gateway came twice and the bare proxy once, with
colder caches. Targets (design 8): p50 <= that of the bare
proxy, p99 <= 1.3 x of it, at least 2,500 requests/s, no byte changed.

`added_ttfb_ms_*` are percentiles of the paired differences to the direct request made just before
(one request at a time); `bare_ttfb_ms_p50` is the same of the bare proxy. `requests_per_s` is the
median of rounds with 32 connections at once. `bytes_changed` counts bytes of bodies, chunk framing
included, that differ from what was sent, in both directions. `recorded` is the share of the
gateway's requests found in the spool afterwards: less than 1 would be a fault.

Then the same under strain: the database locked by another process, the gateway's disk full (its
files may not grow), a request of 9 MB always in flight, and `streams` streams open that get a chunk
every `PACE` seconds, all on both proxies, which are measured one after the other, four times each.
The 9 MB are sent within half a second, so that both carry as many of them (`large_per_s`,
`bare_large_per_s`): with the next one sent as soon as the last was answered, the slower proxy had
the lighter load and seemed the faster.
`locked_added_ttfb_ms_*` is what the gateway adds then, `bare_locked_*` what the bare proxy adds;
`chunk_ms_p99` is how late a chunk of a stream comes that the upstream sent on time (`bare_...` of
the bare proxy). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from qi_learn import spool
from qi_learn.paths import Paths, replace_file

AT_ONCE = 32
WARM_UP = 100
LIVE = "qi-agent:v1.1.0"
QUESTION = {
    "messages": [
        {"role": "user", "content": "Write a function that adds tax to prices.\n" + "x = 1\n" * 500}
    ],
    "stream": True,
}
WORDS = 16
TURNS = 4
BLOCKS = 8
STREAMS = 200
PACE = 0.5
"""Seconds between two chunks of an open stream."""
LARGE = 9 * 1024 * 1024
LARGE_SECONDS = 0.5
"""Seconds that a client takes to send a long request: so both proxies carry as many."""


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


class Way:
    """One way to the upstream, with a connection to measure on."""

    def __init__(self, name: str, url: str, model: str) -> None:
        at = urlsplit(url)
        self.name = name
        self._address = (at.hostname, at.port)
        body = request_of(model)
        head = (
            f"POST /api/chat HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._expected = b"".join(answer_of(model))
        self.changed = self.made = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)

    async def ask(self, link: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> float:
        """Make one request and return the milliseconds to the first byte of the answer's body."""
        reader, writer = link
        began = time.perf_counter()
        writer.write(self._request)
        await reader.readuntil(b"\r\n\r\n")
        first = await reader.readexactly(1)
        waited = (time.perf_counter() - began) * 1000
        body = first + await reader.readuntil(b"0\r\n\r\n")
        if body != self._expected:
            self.changed += sum(a != b for a, b in zip(body, self._expected, strict=False)) + abs(
                len(body) - len(self._expected)
            )
        self.made += 1
        return waited


async def latencies(ways: list[Way], seconds: float) -> dict[str, list[float]]:
    """Milliseconds to the first byte, one request at a time, all ways in turn."""
    links = [await way.connect() for way in ways]
    waited: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(WARM_UP):
        for way, link in zip(ways, links, strict=True):
            await way.ask(link)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for way, link in zip(ways, links, strict=True):
            waited[way.name].append(await way.ask(link))
    for _, writer in links:
        writer.close()
    return waited


async def rate(way: Way, seconds: float) -> float:
    """Requests a second with `AT_ONCE` connections that have been used before."""
    links = [await way.connect() for _ in range(AT_ONCE)]
    await asyncio.gather(*map(way.ask, links))
    began = time.perf_counter()

    async def keep_asking(link: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> int:
        made = 0
        while time.perf_counter() - began < seconds:
            await way.ask(link)
            made += 1
        return made

    made = sum(await asyncio.gather(*map(keep_asking, links)))
    took = time.perf_counter() - began
    for _, writer in links:
        writer.close()
    return made / took


async def measure(urls: dict[str, str], seconds: float) -> dict[str, Any]:
    """The load generator's own process: all numbers."""
    routed = Way("routed", urls["gateway"], "qwen:latest")
    ways = [
        Way("direct", urls["upstream"], "plain:latest"),
        *(Way(name, urls[name], "plain:latest") for name in ("bare", "gateway")),
        routed,
    ]
    routed._expected = b"".join(answer_of("qwen:latest"))
    waits: list[float] = []
    added: dict[str, list[float]] = {way.name: [] for way in ways[1:]}
    for _ in range(BLOCKS):
        for way in ways[1:]:
            pair = await latencies([ways[0], way], seconds * 0.4 / BLOCKS / len(added))
            waits += pair["direct"]
            added[way.name] += [b - a for a, b in zip(pair["direct"], pair[way.name], strict=True)]
    for values in (waits, *added.values()):
        values.sort()
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(5):
        for way in ways:
            rates[way.name].append(await rate(way, seconds * 0.6 / 5 / len(ways)))
    return {
        "added_ttfb_ms_p50": at(added["gateway"], 0.50),
        "added_ttfb_ms_p99": at(added["gateway"], 0.99),
        "requests_per_s": round(statistics.median(rates["gateway"])),
        "bytes_changed": sum(way.changed for way in ways),
        "bare_ttfb_ms_p50": at(added["bare"], 0.50),
        "bare_ttfb_ms_p99": at(added["bare"], 0.99),
        "bare_requests_per_s": round(statistics.median(rates["bare"])),
        "routed_added_ttfb_ms_p50": at(added["routed"], 0.50),
        "routed_added_ttfb_ms_p99": at(added["routed"], 0.99),
        "routed_requests_per_s": round(statistics.median(rates["routed"])),
        "direct_ttfb_ms_p50": at(waits, 0.50),
        "direct_requests_per_s": round(statistics.median(rates["direct"])),
        "requests": len(added["gateway"]),
        "through_gateway": sum(way.made for way in ways if way.name in ("gateway", "routed")),
    }


async def strained(urls: dict[str, str], name: str, seconds: float) -> dict[str, list[float]]:
    """Added milliseconds to the first byte, and how late chunks come, with streams and 9 MB."""
    late: list[float] = []
    sent: list[float] = []
    at_ = urlsplit(urls[name])
    over = asyncio.Event()
    streams = [asyncio.create_task(_stream(at_.hostname, at_.port, late)) for _ in range(STREAMS)]
    large = asyncio.create_task(_send_large(at_.hostname, at_.port, over, sent))
    await asyncio.sleep(1.5)
    late.clear()
    sent.clear()
    waited = await latencies(
        [Way("direct", urls["upstream"], "plain:latest"), Way(name, urls[name], "plain:latest")],
        seconds,
    )
    over.set()
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, large, return_exceptions=True)
    added = [b - a for a, b in zip(waited["direct"], waited[name], strict=True)]
    return {"added": added, "late": late, "sent": sent}


async def _stream(host: str | None, port: int | None, late: list[float]) -> None:
    """Read a stream for as long as it lasts, and note how late its chunks are."""
    reader, writer = await asyncio.open_connection(host, port)
    body = b'{"model":"plain:latest","prompt":"x"}'
    writer.write(_head("/api/generate", len(body)) + body)
    try:
        while True:
            line = await reader.readuntil(b"}\n")
            sent = line.rpartition(b'"sent":')[2].partition(b",")[0]
            late.append((time.perf_counter() - float(sent)) * 1000)
    finally:
        writer.close()


async def _send_large(
    host: str | None, port: int | None, over: asyncio.Event, sent: list[float]
) -> None:
    """Keep a long request in flight, and note how many milliseconds each took."""
    body = b'{"model":"plain:latest","prompt":"%b"}' % (b"x = 1\\n" * (LARGE // 7))
    reader, writer = await asyncio.open_connection(host, port)
    while not over.is_set():
        began = time.perf_counter()
        writer.write(_head("/v1/completions", len(body)))
        for start in range(0, len(body), 65536):
            writer.write(body[start : start + 65536])
            await writer.drain()
            due = began + LARGE_SECONDS * start / len(body)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await reader.readuntil(b"{}")
        sent.append((time.perf_counter() - began) * 1000)
    writer.close()


def _head(path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def measure_strained(urls: dict[str, str], seconds: float) -> dict[str, Any]:
    """The load generator's second round; each proxy `TURNS` times."""
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(TURNS):
        for name in ("bare", "gateway"):
            one = await strained(urls, name, seconds / 2 / TURNS)
            both = found.setdefault(name, {})
            for key, values in one.items():
                both[key] = sorted(both.get(key, []) + values)
    ours, bare = found["gateway"], found["bare"]
    return {
        "locked_added_ttfb_ms_p50": at(ours["added"], 0.50),
        "locked_added_ttfb_ms_p99": at(ours["added"], 0.99),
        "bare_locked_ttfb_ms_p50": at(bare["added"], 0.50),
        "bare_locked_ttfb_ms_p99": at(bare["added"], 0.99),
        "streams": STREAMS,
        "chunk_ms_p99": at(ours["late"], 0.99),
        "bare_chunk_ms_p99": at(bare["late"], 0.99),
        "large_per_s": round(len(ours["sent"]) / (seconds / 2), 2),
        "bare_large_per_s": round(len(bare["sent"]) / (seconds / 2), 2),
    }


def at(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3)


def started(stack: ExitStack, command: list[str], ready: Path, environment: dict[str, str]) -> str:
    """Start a process that ends with the stack, and return its URL."""
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    while not ready.exists():
        if process.poll() is not None:
            sys.exit(f"{command[0]} did not start")
        time.sleep(0.02)
    return str(json.loads(ready.read_text())["url"])


def run(seconds: float) -> dict[str, Any]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = Paths.under(home).ensure()
        routes = {
            "format": 1,
            "alias": "qi-agent:latest",
            "answer_for": ["qwen:latest"],
            "live": LIVE,
            "digest": "",
            "arms": [],
            "salt": "",
        }
        paths.routes.write_text(json.dumps(routes))
        environment = {**os.environ, "QI_LEARN_HOME": str(home), "QI_LEARN__GATEWAY__PORT": "0"}
        environment["QI_LEARN__CAPTURE__UNREGISTERED"] = "true"  # it asks from anywhere
        urls = {
            "upstream": started(
                stack, [__file__, "upstream", str(home / "up")], home / "up", environment
            )
        }
        urls["bare"] = started(
            stack,
            [__file__, "bare", str(home / "bare"), urls["upstream"]],
            home / "bare",
            environment,
        )
        gateway = [
            "-m",
            "qi_learn.gateway",
            "--upstream",
            urls["upstream"],
            "--ready",
            str(home / "gateway"),
        ]
        urls["gateway"] = started(stack, gateway, home / "gateway", environment)
        numbers = loaded("load", urls, seconds, environment)
        events = sum(
            line.problem is None
            for path in spool.spool_files(paths.spool)
            for line in spool.read_from(path)
        )
        numbers["recorded"] = round(events / numbers["through_gateway"], 6)
        with locked(paths.database):
            pid = json.loads((home / "gateway").read_text())["pid"]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            numbers |= loaded("strained", urls, seconds / 2, environment)
        return numbers


def loaded(
    role: str, urls: dict[str, str], seconds: float, environment: dict[str, str]
) -> dict[str, Any]:
    """The numbers of the load generator, a process of its own."""
    load = subprocess.run(
        [sys.executable, __file__, role, json.dumps(urls), str(seconds)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    numbers: dict[str, Any] = json.loads(load.stdout)
    return numbers


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """The database, held by a writer that does not let go."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield


def main(arguments: list[str]) -> None:
    roles: dict[str, Callable[..., Awaitable[Any]]] = {
        "upstream": serve_upstream,
        "bare": serve_bare,
    }
    if arguments and arguments[0] in roles:
        asyncio.run(_as_coroutine(roles[arguments[0]](Path(arguments[1]), *arguments[2:])))
    elif arguments and arguments[0] in ("load", "strained"):
        measuring = measure if arguments[0] == "load" else measure_strained
        print(json.dumps(asyncio.run(measuring(json.loads(arguments[1]), float(arguments[2])))))
    else:
        parser = argparse.ArgumentParser(description="Measures what the gateway adds to a request.")
        parser.add_argument("seconds", nargs="?", type=float, default=20.0, help="of load, in all")
        seconds = parser.parse_args(arguments).seconds
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {seconds:.0f} s",
            flush=True,
        )
        print(json.dumps(run(seconds)))


async def _as_coroutine(awaitable: Awaitable[Any]) -> None:
    await awaitable


if __name__ == "__main__":
    main(sys.argv[1:])
