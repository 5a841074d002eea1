"""Who may ask the engine: this machine alone, and no name leaves the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qi_learn.loopback import is_local_host, is_local_origin
from tests.support.engine_questions import chat
from tests.support.engine_server import Server, exchange, running_engine
from tests.support.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", seed=1)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:11434",
        "127.0.0.1:80",
        "127.1.2.3",
        "[::1]:11434",
        "[::1]",
        "LOCALHOST:1",
        "qi.localhost",
    ],
)
def test_local_hosts(host: str) -> None:
    assert is_local_host(host)


STRANGERS = [
    "",
    ":11434",
    "evil.example",
    "evil.example:11434",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
]
STRANGERS += ["192.168.1.2", "0.0.0.0", "[::]", "a@localhost", "::1"]


@pytest.mark.parametrize("host", STRANGERS)
def test_other_hosts(host: str) -> None:
    assert not is_local_host(host)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "https://127.0.0.1:8080",
        "vscode-webview://abc",
        "app://x",
        "http://[::1]:3000",
        "http://0.0.0.0:8080",
    ],
)
def test_local_origins(origin: str) -> None:
    assert is_local_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "ftp://localhost",
        "http://0.0.0.0.evil.example",
    ],
)
def test_other_origins(origin: str) -> None:
    assert not is_local_origin(origin)


@pytest.mark.parametrize(
    "header", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Host": ""}]
)
def test_strangers_change_nothing(server: Server, gguf: Path, header: dict[str, str]) -> None:
    server.create("mine", gguf)
    body = json.dumps({"model": "mine"}).encode()
    assert exchange(server.url, "DELETE", "/api/delete", body, header).status == 403
    assert chat(server, "mine").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "a/../b",
        "..",
        "a/b/c/d",
        "x:../y",
        "/etc/passwd",
        "a b",
        "",
        "x:",
        ".hidden",
        "a\u0000b",
    ],
)
def test_names_stay_in_the_store(server: Server, gguf: Path, name: str) -> None:
    before = sorted(server.models.parent.rglob("*"))
    server.upload(gguf)
    answer = server.post("/api/create", {"model": name, "files": {"m.gguf": server.upload(gguf)}})
    assert answer.status_code == 400
    assert server.post("/api/copy", {"source": name, "destination": name}).status_code == 400
    assert [
        p
        for p in sorted(server.models.parent.rglob("*"))
        if p not in before and "sha256-" not in p.name
    ] == []


@pytest.mark.parametrize(
    "digest", ["sha256:../../x", "sha256-" + "0" * 63, "md5:" + "0" * 64, "%2e%2e%2fmanifests"]
)
def test_digests_stay_in_the_store(server: Server, digest: str) -> None:
    assert httpx.post(f"{server.url}/api/blobs/{digest}", content=b"x").status_code in (400, 404)
