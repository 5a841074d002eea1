"""No answer is made for a client that is gone, however it went, and a queued one never begins."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from qi_learn.outside.listening import read_listening
from tests.support.engine_server import Server, running_engine
from tests.support.fake_ollama import a_gateway
from tests.support.tiny_models import write_tiny_model

MANY = 20_000
"""Tokens that take minutes."""
LONG = {"type": "array", "items": {"const": "x"}, "minItems": MANY}
# To the engine a client that was killed is one that closed: the paths are told apart by the second.
PATHS = ("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions")
CLIENT = """
import socket, sys
host, port, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with socket.create_connection((host, port)) as link:
    link.sendall(open(file, "rb").read())
    while link.recv(65536):
        pass
"""
NEXT = b"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("engine")
    with running_engine(directory, "--context", "32768") as running:
        running.create(
            "m", write_tiny_model(directory / "t.gguf", seed=1, context=32768, tied=False)
        )
        yield running


@pytest.fixture
def server(engine: Server) -> Server:
    """The engine at rest, so that the next work it has is the test's own."""
    rests(engine)
    return engine


@pytest.fixture(scope="module")
def through(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses that a client may ask: the engine's own, and the gateway's in front of it."""
    with a_gateway(engine.url, tmp_path_factory.mktemp("home")) as gateway:
        yield {"engine": engine.url, "gateway": gateway.url}


def request(url: str, path: str, *, stream: bool, prompt: str = "hi", more: bytes = b"") -> bytes:
    asked: dict[str, Any] = {"model": "m", "stream": stream}
    if "chat" in path:
        asked["messages"] = [{"role": "user", "content": prompt}]
    else:
        asked["prompt"] = prompt
    if path.startswith("/api"):
        asked |= {"format": LONG, "options": {"num_predict": MANY}}
    else:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": LONG}}
        asked |= {"response_format": form, "max_tokens": MANY}
    body = json.dumps(asked).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + more


def connect(url: str) -> socket.socket:
    at = urlsplit(url)
    return socket.create_connection((at.hostname, at.port), 60)


def used(server: Server) -> float:
    """Seconds of processor time that the engine has taken."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def working(server: Server, seconds: float = 0.2) -> float:
    """The share of a core that the engine takes."""
    before = used(server)
    time.sleep(seconds)
    return (used(server) - before) / seconds


def begins(server: Server, seconds: float = 0.3) -> None:
    """Wait until the engine has worked for `seconds` on what it was asked."""
    before, deadline = used(server), time.monotonic() + 60
    while used(server) - before < seconds:
        assert time.monotonic() < deadline, "the answer did not begin"
        time.sleep(0.02)


def rests(server: Server) -> None:
    """It works on nothing any more, and the model is free for the next question."""
    deadline = time.monotonic() + 30
    while working(server) > 0.02:
        assert time.monotonic() < deadline, "it goes on with an answer that is for nobody"
    body = {"model": "m", "prompt": "hi", "stream": False, "options": {"num_predict": 2}}
    answer = httpx.post(f"{server.url}/api/generate", json=body, timeout=30)
    assert answer.status_code == 200


def broken_off(server: Server) -> list[str]:
    log = server.models.parent / "engine.log"
    return [line for line in log.read_text().splitlines() if "broken off" in line]


def asking(server: Server) -> int:
    """Connections to the engine that neither side has closed."""
    ends = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    port = f":{urlsplit(server.url).port:04X}"
    return sum(1 for end in ends if end[1].endswith(port) and end[3] == "01")


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: it reads /proc")
@pytest.mark.parametrize("door", ["engine", "gateway"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("how", "path"), [*(("closed", path) for path in PATHS), ("killed", PATHS[0])]
)
def test_an_answer_ends_with_its_client(
    server: Server,
    through: dict[str, str],
    tmp_path: Path,
    door: str,
    stream: bool,
    how: str,
    path: str,
) -> None:
    url, before = through[door], len(broken_off(server))
    asked = request(url, path, stream=stream)
    if how == "closed":
        with connect(url) as link:
            link.sendall(asked)
            begins(server)
    else:
        file, at = tmp_path / "request", urlsplit(url)
        file.write_bytes(asked)
        words = [sys.executable, "-S", "-c", CLIENT, str(at.hostname), str(at.port), str(file)]
        with subprocess.Popen(words) as client:
            begins(server)
            assert client.poll() is None
            client.send_signal(signal.SIGKILL)
    rests(server)
    assert len(broken_off(server)) == before + 1


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: it reads /proc")
@pytest.mark.parametrize("door", ["engine", "gateway"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_an_answer_ends_with_a_client_that_had_asked_on(
    server: Server, through: dict[str, str], stream: bool, door: str
) -> None:
    """More requests on the same connection than are taken before the first is answered."""
    url = through[door]
    with connect(url) as link:
        link.sendall(request(url, "/api/chat", stream=stream, more=NEXT * 500))
        begins(server)
    rests(server)


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: it reads /proc")
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_prompt_is_not_read_to_its_end_for_a_client_that_is_gone(
    server: Server, stream: bool
) -> None:
    prompt = "word and word or " * 1400
    with connect(server.url) as link:
        link.sendall(request(server.url, "/api/chat", stream=stream, prompt=prompt))
        begins(server, 0.1)
    rests(server)
    assert broken_off(server)[-1].endswith("in its prompt")


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: it reads /proc")
@pytest.mark.parametrize("door", ["engine", "gateway"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_what_waits_for_its_turn_never_begins_without_its_client(
    server: Server, through: dict[str, str], stream: bool, door: str
) -> None:
    url, before = through[door], len(broken_off(server))
    first, *others = [connect(url) for _ in range(8)]
    first.sendall(request(url, "/api/chat", stream=stream))
    begins(server)
    for link in others:
        link.sendall(request(url, "/api/chat", stream=stream))
    time.sleep(0.5)  # the others are behind it
    waiting = asking(server)
    for link in others:
        link.close()
    deadline = time.monotonic() + 30
    while asking(server) > waiting - len(others):  # the gateway passes each of them on
        assert time.monotonic() < deadline, "a client that left is still there for the engine"
        time.sleep(0.02)
    first.close()
    rests(server)
    assert len(broken_off(server)) == before + 1


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: it reads /proc")
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_it_ends_with_a_parent_that_is_killed_in_the_middle_of_its_answers(
    tmp_path: Path, stream: bool
) -> None:
    """The clients stay, and wait for answers that would take hours."""
    ready, log = tmp_path / "ready.json", tmp_path / "engine.log"
    words = ["-m", "qi_learn.engine", "--models", str(tmp_path / "models"), "--ready", str(ready)]
    script = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, *{words!r}, '--context', '32768', '--threads', '1', "
        f"'--parent', str(os.getpid())], stderr=open({str(log)!r}, 'ab'))\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        listening = read_listening(ready)
        assert listening is not None
        url = listening.url
        server = Server(url, tmp_path / "models", parent)
        server.create("m", write_tiny_model(tmp_path / "t.gguf", seed=1, context=32768))
        links = [connect(url) for _ in range(4)]
        for link in links:
            link.sendall(request(url, "/api/chat", stream=stream))
        time.sleep(1)
        assert listening.alive
        parent.kill()
    deadline = time.monotonic() + 60
    while listening.alive:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    for link in links:
        link.close()
