"""Broken peers: every failure comes out in the words of qi-learn."""

from __future__ import annotations

import httpx
import pytest

from qi_learn.errors import ServerError, ServerUnreachable
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_http import translate
from tests.support import fake_models_server as fake
from tests.support.daemon_process import refusing_port
from tests.support.replay import replaying


def test_nobody_there() -> None:
    with refusing_port() as port, Ollama(f"http://127.0.0.1:{port}") as server:
        assert not server.reachable()
        with pytest.raises(ServerUnreachable, match="No server answers"):
            server.models()


def test_somebody_who_never_answers(models: fake.FakeModels) -> None:
    models.silent.add("/api/tags")
    with (
        Ollama(models.url, timeout=0.05) as server,
        pytest.raises(ServerUnreachable, match="in time"),
    ):
        server.models()


@pytest.mark.parametrize(
    "body", [b"<html>", b"[1]", b'{"status":"parsing GGUF"}\n', b'{"status": "succ']
)
def test_somebody_else_answers(body: bytes) -> None:
    with (
        replaying(("HTTP/1.1 200 OK", [], body)) as url,
        Ollama(url) as server,
        pytest.raises(ServerError),
    ):
        server.create("a:v1", files={"m.gguf": "1" * 64})
    with (
        replaying(("HTTP/1.1 200 OK", [], b"[1]")) as url,
        Ollama(url) as server,
        pytest.raises(ServerError),
    ):
        server.models()


def test_a_connection_that_breaks() -> None:
    with (
        replaying(("HTTP/1.1 200 OK", [["X-Cut", "1"]], b"")) as url,
        Ollama(url) as server,
        pytest.raises(ServerError),
    ):
        server.version()
    with (
        replaying(("garbage", [], b"")) as url,
        Ollama(url) as server,
        pytest.raises(ServerUnreachable, match="broke"),
    ):
        server.version()


@pytest.mark.parametrize("url", ["127.0.0.1:11434", "ftp://x", "http://[::1", "http://a b:x/"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ServerError), Ollama(url) as server:
        server.version()


def _kinds(root: type[Exception]) -> set[type[Exception]]:
    return {root} | {kind for child in root.__subclasses__() for kind in _kinds(child)}


ERRORS: set[type[Exception]] = {
    *_kinds(httpx.HTTPError),
    *_kinds(httpx.StreamError),
    httpx.InvalidURL,
}
BY_NAME: list[type[Exception]] = sorted(ERRORS, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_error_of_httpx_has_our_words(kind: type[Exception]) -> None:
    error = kind.__new__(kind, "x")
    error.args = ("x",)
    ours = translate(error, "http://127.0.0.1:1/api/tags")
    assert "127.0.0.1:1" in ours.what
    assert isinstance(ours, ServerUnreachable) == (
        issubclass(kind, httpx.TransportError) and kind is not httpx.UnsupportedProtocol
    )
