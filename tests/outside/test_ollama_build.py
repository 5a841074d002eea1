"""What a server tells of what its answers depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.errors import ServerError
from qi_learn.outside.llama_cpp_library import build_of_library
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_build import served_build
from tests.support import fake_models_server as fake
from tests.support.engine_server import running_engine
from tests.support.tiny_models import write_tiny_model


@pytest.fixture
def models(tmp_path: Path) -> Iterator[fake.FakeModels]:
    with fake.FakeModels(tmp_path / "store") as models:
        yield models


@pytest.fixture
def server(models: fake.FakeModels, tmp_path: Path) -> Iterator[Ollama]:
    with Ollama(models.url) as client:
        content = fake.gguf(say="yes")
        (tmp_path / "m.gguf").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        client.upload_blob(tmp_path / "m.gguf", digest)
        client.create("m:1", files={"m.gguf": digest})
        yield client


@pytest.mark.parametrize(("share", "device"), [(0.0, "cpu"), (0.5, "both"), (1.0, "gpu")])
def test_the_version_and_the_device_once_the_model_is_loaded(
    models: fake.FakeModels, server: Ollama, share: float, device: str
) -> None:
    models.on_gpu = share
    assert served_build(server, "m:1") == f"0.33.0-rc2 {device}"
    assert list(models.memory) == ["m:1"]
    before = models.calls.count("POST /api/generate")
    assert served_build(server, "m:1") == f"0.33.0-rc2 {device}"
    assert models.calls.count("POST /api/generate") == before, "it was loaded already"


def test_an_update_is_another_build(models: fake.FakeModels, server: Ollama) -> None:
    before = served_build(server, "m:1")
    models.version = "0.34.0"
    assert served_build(server, "m:1") != before


def test_a_model_that_is_not_there(server: Ollama) -> None:
    with pytest.raises(ServerError):
        served_build(server, "none:1")


def test_the_engine_tells_its_llama_cpp(tmp_path: Path) -> None:
    """Its own version says nothing of it: the two are updated apart."""
    write_tiny_model(tmp_path / "tiny.gguf")
    with running_engine(tmp_path) as engine, Ollama(engine.url) as client:
        engine.create("m:1", tmp_path / "tiny.gguf")
        told = served_build(client, "m:1")
        assert told == f"{client.version()} {build_of_library()} cpu"
