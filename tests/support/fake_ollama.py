"""A small real HTTP server on loopback that answers as it is told, and remembers what it was asked.

An answer is a list of steps: bytes to send, a number of seconds to wait, an Event to wait for,
`DIE` (close in the middle), `HANG` (answer nothing more until the client has left). `recorded`
makes the steps of a recorded exchange. Also a gateway to put in front of it, and a client that sees
every byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qi_learn import spool
from qi_learn.paths import Paths
from qi_learn.records import Event

ROOT = Path(__file__).parent.parent.parent
RECORDINGS = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "recordings").glob("0.*.json"))
]
DIE, HANG = "die", "hang"
Step = bytes | float | str | asyncio.Event | threading.Event


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def head(status: str, *headers: tuple[str, str]) -> bytes:
    """The head of an answer."""
    return "".join(
        [f"{status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]
    ).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(
    body: bytes,
    content_type: str = "application/json; charset=utf-8",
    status: str = "HTTP/1.1 200 OK",
) -> list[Step]:
    """An answer with a length."""
    return [head(status, ("Content-Type", content_type), ("Content-Length", str(len(body)))) + body]


def stream(chunks: Sequence[bytes], content_type: str = "application/x-ndjson") -> list[Step]:
    """A chunked answer, one step a chunk."""
    return [
        head("HTTP/1.1 200 OK", ("Content-Type", content_type), ("Transfer-Encoding", "chunked")),
        *map(chunk, chunks),
        b"0\r\n\r\n",
    ]


def recorded(exchange: Mapping[str, Any]) -> list[Step]:
    """The steps of a recorded exchange, on a connection that stays."""
    headers = [(name, value) for name, value in exchange["headers"] if name.lower() != "connection"]
    if "chunks" in exchange:
        return [
            head(exchange["status"], *headers),
            *(chunk(piece.encode()) for piece in exchange["chunks"]),
            b"0\r\n\r\n",
        ]
    return [head(exchange["status"], *headers) + exchange["body"].encode()]


class FakeOllama:
    """The server, which listens while its `with` lasts. `answer` gives the steps for a request."""

    def __init__(self) -> None:
        self.answer: Callable[[Received], Sequence[Step]] = lambda _: whole(b"{}")
        self.received: list[Received] = []
        self.hung_up = threading.Event()
        self.read_bodies = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""

    def play(self, steps: Sequence[Step]) -> None:
        """Answer every request with these steps, and forget what was asked before."""
        self.received.clear()
        self.hung_up.clear()
        self.answer = lambda _: steps

    def wait_asked(self, seconds: float = 20.0) -> None:
        """Wait until a request has come."""
        deadline = time.monotonic() + seconds
        while not self.received and time.monotonic() < deadline:
            time.sleep(0.005)
        assert self.received

    def __enter__(self) -> FakeOllama:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (received := await self._read(reader)) is not None:
                self.received.append(received)
                for step in self.answer(received):
                    if not await self._take(step, reader, writer):
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        except asyncio.CancelledError:
            pass  # the fake is closed
        finally:
            self._connections.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            if not self.read_bodies:  # that was a body: to close now could take the answer back
                await asyncio.Event().wait()
            raise
        headers = tuple(
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in lines[1:-2])
        )
        lower = {name.lower(): value for name, value in headers}
        body = b""
        if self.read_bodies and lower.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        elif self.read_bodies:
            body = await reader.readexactly(int(lower.get("content-length", 0)))
        return Received(lines[0], headers, body)

    async def _take(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, threading.Event):
            await asyncio.to_thread(step.wait, 20.0)
        elif step == DIE:
            return False
        else:
            if not await reader.read(1):
                self.hung_up.set()
            return False
        return True


@dataclass
class Answer:
    """An answer as it came over the wire. `whole` is False if the connection ended before the
    answer did.
    """

    status: str
    headers: list[tuple[str, str]]
    chunks: list[bytes] | None
    body: bytes
    whole: bool = True
    times: list[float] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request_bytes(
    at: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> bytes:
    sent = {"Host": at, "Accept": "*/*", **headers}
    if body is not None and "Transfer-Encoding" not in sent:
        sent.setdefault("Content-Length", str(len(body)))
    return "".join(
        [f"{method} {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in sent.items()), "\r\n"]
    ).encode("latin-1") + (body or b"")


def connect(url: str) -> socket.socket:
    at = urlsplit(url)
    assert at.hostname is not None
    return socket.create_connection((at.hostname, at.port), 30.0)


def read_answer(
    link: socket.socket, method: str = "POST", on_chunk: Callable[[bytes], None] = lambda _: None
) -> Answer:
    reader = link.makefile("rb")
    with reader:
        status = reader.readline().decode("latin-1").strip()
        headers: list[tuple[str, str]] = []
        while line := reader.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        lower = {name.lower(): value for name, value in headers}
        code = int(status.split()[1]) if status else 0
        if method == "HEAD" or code in (0, 204, 304):
            return Answer(status, headers, None, b"", whole=code > 0)
        if lower.get("transfer-encoding") == "chunked":
            chunks: list[bytes] = []
            try:
                while (line_ := reader.readline()) and (size := int(line_, 16)):
                    chunks.append(reader.read(size))
                    reader.readline()
                    on_chunk(chunks[-1])
            except ConnectionError:
                line_ = b""
            return Answer(status, headers, chunks, b"".join(chunks), whole=line_.strip() == b"0")
        if "content-length" in lower:
            body = reader.read(int(lower["content-length"]))
            return Answer(
                status, headers, None, body, whole=len(body) == int(lower["content-length"])
            )
        return Answer(status, headers, None, reader.read())


def ask(
    url: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    on_chunk: Callable[[bytes], None] = lambda _: None,
) -> Answer:
    """The answer to one request over a connection of its own; an object becomes JSON."""
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with connect(url) as link:
        link.sendall(request_bytes(urlsplit(url).netloc, method, path, raw, headers or {}))
        return read_answer(link, method, on_chunk)


@dataclass
class GatewayProcess:
    """The gateway as it runs: a process of its own."""

    url: str
    paths: Paths
    process: subprocess.Popen[bytes]
    log: Path
    seen: int = 0

    def turns(self, count: int = 0, seconds: float = 10.0) -> list[Event]:
        """The turns that the spool got since the last look, once there are `count` of them."""
        deadline = time.monotonic() + seconds
        while True:
            lines = [
                line
                for path in spool.spool_files(self.paths.spool)
                for line in spool.read_from(path)
            ]
            events = [line.event for line in lines if line.event and line.event.kind == "turn"]
            if len(events) - self.seen >= count or time.monotonic() > deadline:
                new, self.seen = events[self.seen :], len(events)
                return new
            time.sleep(0.02)

    @property
    def status(self) -> Any:
        """What it says of itself."""
        with urllib.request.urlopen(f"{self.url}/qi/state", timeout=20) as answer:
            return json.load(answer)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port


def gateway_command(upstream: str, ready: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "qi_learn.gateway",
        "--upstream",
        upstream,
        "--ready",
        str(ready),
        *more,
    ]


def gateway_environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    made = {
        f"QI_LEARN__GATEWAY__{key.upper()}": value
        for key, value in {"port": "0", **(settings or {})}.items()
    }
    return {**os.environ, "QI_LEARN_HOME": str(home), "PYTHONPATH": str(ROOT), **made}


@contextmanager
def a_gateway(
    upstream: str, home: Path, settings: Mapping[str, str] | None = None
) -> Iterator[GatewayProcess]:
    """A running gateway in front of `upstream`, with a throw-away home."""
    home.mkdir(parents=True, exist_ok=True)
    ready, log = home / "ready.json", home / "gateway.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            gateway_command(upstream, ready),
            env=gateway_environment(home, settings),
            stdout=out,
            stderr=out,
            cwd=home,
        )
    try:
        deadline = time.monotonic() + 200
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        yield GatewayProcess(json.loads(ready.read_text())["url"], Paths.under(home), process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
