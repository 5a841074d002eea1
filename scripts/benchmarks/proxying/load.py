"""The load of `scripts/bench gateway`: what each way adds at rest, and under strain."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from scripts.benchmarks.proxying.servers import answer_of, request_of

AT_ONCE = 32
WARM_UP = 100
TURNS = 4
BLOCKS = 8
STREAMS = 200
LARGE = 9 * 1024 * 1024
LARGE_SECONDS = 0.5
"""Seconds that a client takes to send a long request: so both proxies carry as many."""


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
