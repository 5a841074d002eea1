"""Servers for tests: the embedded engine in a process of its own, a real Ollama if one is on PATH,
and one HTTP exchange seen byte by byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx


@dataclass(frozen=True)
class Server:
    """A running server that speaks Ollama's API."""

    url: str
    models: Path
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=60, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **more)

    def upload(self, gguf: Path) -> str:
        """Upload a file. Returns its digest, `sha256:...`."""
        raw = gguf.read_bytes()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        assert httpx.post(
            f"{self.url}/api/blobs/{digest}", content=raw, timeout=60
        ).status_code in (200, 201)
        return digest

    def create(self, name: str, gguf: Path, **more: Any) -> None:
        answer = self.post(
            "/api/create",
            {"model": name, "files": {"m.gguf": self.upload(gguf)}, "stream": False, **more},
        )
        assert answer.json() == {"status": "success"}, answer.text


@contextlib.contextmanager
def running_engine(
    directory: Path,
    *words: str,
    limit: int | None = None,
    log: Path | None = None,
    home: Path | None = None,
) -> Iterator[Server]:
    """The engine with its store in `directory/models`; `limit`: no file larger than so many bytes
    (a full disk). `log`: the file that it writes its errors to. `home`: qi-learn's, of its user.
    """
    ready, models = directory / "ready.json", directory / "models"
    ready.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "qi_learn.engine",
        "--models",
        str(models),
        "--ready",
        str(ready),
        "--context",
        "1024",
        "--threads",
        "1",
        "--parent",
        str(os.getpid()),
        *words,
    ]
    shell = (
        []
        if limit is None
        else ["bash", "-c", f'ulimit -f {limit // 1024}; trap "" XFSZ; exec "$@"', "engine"]
    )
    file = log or directory / "engine.log"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if home is not None:
        env["QI_LEARN_HOME"] = str(home)
    with file.open("wb" if log is None else "ab") as out:
        process = subprocess.Popen([*shell, *command], stdout=out, stderr=out, env=env)
    try:
        yield Server(_address(ready, process, file), models, process)
    finally:
        _end(process)


def _address(ready: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 200
    while not ready.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)
    return str(json.loads(ready.read_text())["url"])


@contextlib.contextmanager
def running_ollama(directory: Path) -> Iterator[Server]:
    """A real Ollama from PATH with an empty store of its own."""
    program = shutil.which("ollama")
    assert program is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = {
        **os.environ,
        "OLLAMA_HOST": address,
        "OLLAMA_MODELS": str(directory / "models"),
        "HOME": str(directory),
        "OLLAMA_NO_CLOUD": "1",
    }
    with (directory / "ollama.log").open("wb") as log:
        process = subprocess.Popen([program, "serve"], stdout=log, stderr=log, env=env)
    try:
        _wait_for(f"http://{address}/api/version", process)
        yield Server(f"http://{address}", directory / "models", process)
    finally:
        _end(process)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url)
            return
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@dataclass(frozen=True)
class Exchange:
    """One answer as it came over the wire: `chunks` if it was chunked, else `body`."""

    status: int
    headers: list[tuple[str, str]]
    chunks: list[str] | None
    body: str

    @property
    def text(self) -> str:
        return self.body if self.chunks is None else "".join(self.chunks)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def exchange(
    url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Exchange:
    """Ask over a plain socket, so that nothing tidies the answer up.

    A server that answers before it has read a long body, and closes, resets the connection. That
    sometimes takes its own answer along: then the server is asked again.
    """
    for _ in range(20):
        with contextlib.suppress(ConnectionResetError):
            return _exchange(url, method, path, body, headers)
    return _exchange(url, method, path, body, headers)


def _exchange(
    url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Exchange:
    at = urlsplit(url)
    sent = {"Host": at.netloc, "Connection": "close", "Accept": "*/*", **headers} | (
        {} if body is None else {"Content-Length": str(len(body))}
    )
    head = (
        "\r\n".join(
            [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        )
        + "\r\n\r\n"
    )
    with (
        socket.create_connection((at.hostname, at.port), 60) as link,
        link.makefile("rb") as reader,
    ):
        link.sendall(head.encode())
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # an answer may come before the whole body is read
            link.sendall(body or b"")
        status = int(reader.readline().split()[1])
        got = []
        while line := reader.readline().decode("latin1").strip():
            name, _, value = line.partition(":")
            got.append((name, value.strip()))
        answer = Exchange(status, got, None, "")
        if method == "HEAD":
            return answer
        if (answer.header("Transfer-Encoding") or "") != "chunked":
            return Exchange(status, got, None, reader.read().decode())
        chunks = []
        while size := int(reader.readline().split(b";")[0], 16):
            chunks.append(reader.read(size).decode())
            reader.readline()
        return Exchange(status, got, chunks, "")
