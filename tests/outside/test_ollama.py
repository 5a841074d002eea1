"""The client against the recorded answers of two real servers (tests/support/recordings), and
against a small server that keeps models. Broken peers: test_ollama_http.py.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from qi_learn.errors import DiskFull, ModelError, NotFound, ServerError
from qi_learn.outside.ollama import Ollama
from tests.support import fake_models_server as fake
from tests.support.replay import replaying

RECORDINGS = Path(__file__).parent.parent / "support" / "recordings"
SERVERS = ["0.24.0", "0.33.0-rc2"]
SAME_WORDS = {
    "version",
    "tags empty",
    "blob head absent",
    "create empty",
    "show no name",
    "show absent",
    "copy absent",
    "copy invalid name",
    "delete absent",
}


def put_model(server: Ollama, directory: Path, name: str, **behaviour: Any) -> str:
    content = fake.gguf(**behaviour)
    digest = hashlib.sha256(content).hexdigest()
    (directory / "m.gguf").write_bytes(content)
    server.upload_blob(directory / "m.gguf", digest)
    server.create(name, files={"model.gguf": digest})
    return digest


# --- against recordings ---------------------------------------------------------------------------


def recorded(version: str, name: str) -> tuple[str, list[list[str]], bytes]:
    exchanges = json.loads((RECORDINGS / f"{version}.json").read_text())["exchanges"]
    found = next(e for e in exchanges if e["name"] == name)
    body = found["body"] if "body" in found else "".join(found["chunks"])
    return found["status"], found["headers"], body.encode()


@pytest.mark.parametrize("version", SERVERS)
def test_models_and_what_is_shown(version: str) -> None:
    with (
        replaying(
            *(recorded(version, n) for n in ("tags after copy", "show", "show", "ps"))
        ) as url,
        Ollama(url) as server,
    ):
        by_name = {m.name: m for m in server.models()}
        assert by_name["rec-live:latest"].digest == by_name["rec-b:v1.0.0"].digest
        assert by_name["rec-live:latest"].size > 90_000_000
        assert "<|im_start|>" in server.show("rec-a:v1")["template"]
        assert (server.weights("rec-a:v1") or "").startswith("MODELS/blobs/sha256-")
        assert server.loaded()[0].startswith("rec-")


@pytest.mark.parametrize("version", SERVERS)
def test_an_empty_server_has_no_models(version: str) -> None:
    with (
        replaying(
            recorded(version, "tags empty"),
            recorded(version, "ps empty"),
            recorded(version, "version"),
        ) as url,
        Ollama(url) as server,
    ):
        assert server.models() == ()
        assert server.loaded() == ()
        assert server.reachable()


@pytest.mark.parametrize("version", SERVERS)
@pytest.mark.parametrize(
    "name",
    [
        "malformed digest",
        "absent blob",
        "bad template",
        "garbage gguf",
        "empty",
        "adapter probe",
        "invalid name",
    ],
)
def test_a_create_that_failed_raises_also_after_a_200(version: str, name: str) -> None:
    recording = recorded(version, f"create {name}")
    with replaying(recording) as url, Ollama(url) as server, pytest.raises(ServerError) as caught:
        server.create("rec-x", files={"m.gguf": "1" * 64})
    said = json.loads(recording[2].decode().splitlines()[-1])["error"]
    assert said in str(caught.value)
    assert caught.value.status == int(recording[0].split()[1])


@pytest.mark.parametrize("version", SERVERS)
@pytest.mark.parametrize(
    "name", ["create", "create full", "create from", "create over existing", "create no stream"]
)
def test_a_create_that_worked_does_not_raise(version: str, name: str) -> None:
    with replaying(recorded(version, name)) as url, Ollama(url) as server:
        server.create("rec-a:v1", files={"model.gguf": "1" * 64})


@pytest.mark.parametrize("version", SERVERS)
@pytest.mark.parametrize(
    "name",
    [
        "show absent",
        "copy absent",
        "delete absent",
        "chat absent model whole",
        "generate bad template",
    ],
)
def test_a_refusal_keeps_its_status_and_words(version: str, name: str) -> None:
    recording = recorded(version, name)
    with replaying(recording) as url, Ollama(url) as server, pytest.raises(ServerError) as caught:
        server.show("rec-none")
    assert caught.value.status == (500 if name == "generate bad template" else 404)
    assert json.loads(recording[2])["error"] in caught.value.what


@pytest.mark.parametrize("version", SERVERS)
def test_answers_and_renderings(version: str) -> None:
    names = ["chat whole", "generate whole", "chat rendered", "generate rendered", "unload"]
    with replaying(*(recorded(version, n) for n in names)) as url, Ollama(url) as server:
        chat = server.ask({"endpoint": "/api/chat", "body": {"messages": []}}, "rec-a:v1")
        generate = server.ask(
            {"endpoint": "/api/generate", "body": {"prompt": "Say hi."}}, "rec-a:v1"
        )
        assert chat.text == json.loads(recorded(version, "chat whole")[2])["message"]["content"]
        assert (chat.done_reason, chat.answer_tokens, chat.prompt_tokens) == ("length", 8, 12)
        assert 0 < chat.seconds < 60
        assert generate.text == json.loads(recorded(version, "generate whole")[2])["response"]
        assert server.render("/api/chat", {"model": "rec-a:v1"}).endswith("<|im_start|>assistant\n")
        assert server.render("/api/generate", {"model": "rec-a:v1"}).startswith(
            "<|im_start|>system\nS<|im_end|>"
        )
        server.unload("rec-a:v1")


@pytest.mark.parametrize("version", SERVERS)
def test_whether_a_blob_is_there(version: str) -> None:
    with (
        replaying(
            recorded(version, "blob head absent"), recorded(version, "blob head present")
        ) as url,
        Ollama(url) as server,
    ):
        assert not server.has_blob("0" * 64)
        assert server.has_blob("sha256:" + "0" * 64)


# --- against a server that keeps models -----------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SAME_WORDS))
def test_the_fake_answers_as_the_recording(models: fake.FakeModels, name: str) -> None:
    exchange = next(
        e
        for e in json.loads((RECORDINGS / "0.33.0-rc2.json").read_text())["exchanges"]
        if e["name"] == name
    )
    request = exchange["request"]
    said = httpx.request(
        request["method"], models.url + request["path"], json=request["body"], trust_env=False
    )
    assert said.status_code == int(exchange["status"].split()[1])
    raw = exchange["body"] if "body" in exchange else "".join(exchange["chunks"])
    if raw:
        assert said.json().keys() == json.loads(raw).keys()
    else:
        assert said.text == ""


def test_a_model_is_made_copied_and_deleted(models: fake.FakeModels, tmp_path: Path) -> None:
    with Ollama(models.url) as server:
        digest = put_model(server, tmp_path, "a:v1")
        server.copy("a:v1", "b")
        assert server.has("B:latest")
        assert (server.find("a:v1") or pytest.fail("gone")).digest == (
            server.find("b") or pytest.fail("gone")
        ).digest
        assert (server.weights("b") or "").endswith(f"sha256-{digest}")
        server.delete("a:v1")
        assert not server.has("a:v1")
        assert server.has_blob(digest)


def test_a_blob_is_sent_once(models: fake.FakeModels, tmp_path: Path) -> None:
    with Ollama(models.url) as server:
        put_model(server, tmp_path, "a:v1")
        put_model(server, tmp_path, "a:v2")
    assert sum(c.startswith("POST /api/blobs/") for c in models.calls) == 1


def test_a_large_blob_is_streamed(models: fake.FakeModels, tmp_path: Path) -> None:
    content = fake.gguf() + bytes(3_000_000)
    (tmp_path / "m.gguf").write_bytes(content)
    with Ollama(models.url) as server:
        server.upload_blob(tmp_path / "m.gguf", hashlib.sha256(content).hexdigest())
    assert models.blob("sha256:" + hashlib.sha256(content).hexdigest()).read_bytes() == content


def test_a_file_that_is_not_what_it_claims_is_refused(
    models: fake.FakeModels, tmp_path: Path
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF{}")
    with Ollama(models.url) as server, pytest.raises(ServerError, match="digest mismatch"):
        server.upload_blob(tmp_path / "m.gguf", "0" * 64)
    with Ollama(models.url) as server, pytest.raises(ModelError, match="cannot be read"):
        server.upload_blob(tmp_path / "none.gguf", "0" * 64)


def test_an_absent_base_is_never_pulled(models: fake.FakeModels) -> None:
    with Ollama(models.url) as server, pytest.raises(NotFound, match="ollama pull qwen"):
        server.create("a:v1", from_model="qwen2.5-coder:7b")
    assert "POST /api/create" not in models.calls


def test_a_full_disk_at_the_server_is_said(models: fake.FakeModels, tmp_path: Path) -> None:
    models.broken["/api/create"] = "write MODELS/blobs/x: no space left on device"
    with Ollama(models.url) as server, pytest.raises(DiskFull, match="no room"):
        put_model(server, tmp_path, "a:v1")


def test_an_unknown_part_of_a_spec_is_refused(models: fake.FakeModels) -> None:
    with Ollama(models.url) as server, pytest.raises(ValueError, match="adapters"):
        server.create("a:v1", files={}, spec={"adapters": {}})


def test_a_server_that_cannot_render_is_told_apart(models: fake.FakeModels, tmp_path: Path) -> None:
    models.renders = False
    with Ollama(models.url) as server:
        put_model(server, tmp_path, "a:v1")
        with pytest.raises(ServerError, match="does not show what it renders"):
            server.render(
                "/api/chat", {"model": "a:v1", "messages": [{"role": "user", "content": "x"}]}
            )
