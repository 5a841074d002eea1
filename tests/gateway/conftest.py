"""A fake Ollama for each file of tests, and two gateways in front of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchanges import ROUTES
from tests.support.fake_ollama import FakeOllama, GatewayProcess, a_gateway


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with a_gateway(fake.url, tmp_path_factory.mktemp("plain")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def routed(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with a_gateway(fake.url, tmp_path_factory.mktemp("routed")) as gateway:
        gateway.paths.routes.parent.mkdir(parents=True, exist_ok=True)
        gateway.paths.routes.write_text(json.dumps(ROUTES))
        yield gateway


@pytest.fixture
def own(fake: FakeOllama, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that a test may break."""
    with a_gateway(fake.url, tmp_path / "home") as gateway:
        yield gateway
