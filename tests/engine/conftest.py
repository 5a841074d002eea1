"""The engine that most tests of this folder ask; those that break one start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine_server import Server, running_engine
from tests.support.tiny_models import CHATML, write_tiny_model


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("gguf") / "tiny.gguf", seed=1, context=8192, tied=False
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gguf: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("engine")
    with running_engine(directory) as running:
        running.create("tiny", gguf)
        running.create("fim", write_tiny_model(directory / "fim.gguf", seed=2, fim=True))
        bos = "{{ bos_token }}" + CHATML
        running.create(
            "bos", write_tiny_model(directory / "bos.gguf", seed=3, add_bos=True, template=bos)
        )
        yield running
