"""What the server lost is made again while the daemon runs, when the gateway says it misses it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from qi_learn.daemon import base
from qi_learn.daemon.base import BaseKeeper
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.model_server import ModelServer
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.settings import ServeSettings, Settings
from tests.support import fake_models_server as fake


@pytest.mark.parametrize("said", ["once", "again and again"])
def test_a_base_that_a_client_deleted_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.1)
    paths = Paths.under(tmp_path / "home").ensure()
    gguf = tmp_path / "base.gguf"
    gguf.write_bytes(fake.gguf(say="I am the base."))
    with fake.FakeModels(tmp_path / "ollama") as models, Ollama(models.url) as server:
        make_model(server, "qwen:7b", gguf, sha256_of(gguf), {})
        settings = Settings(
            serve=ServeSettings(backend="ollama", base="qwen:7b", ollama=models.url)
        )
        keeper = BaseKeeper(paths, settings, ModelServer(models.url, False, None))
        keeper.agree(1.0)
        assert keeper.ready
        paths.gateway_status.write_text(json.dumps({"missing": []}))
        server.delete("qi-agent:v1.0.0")
        keeper.agree(2.0)
        assert models.weights("qi-agent:v1.0.0") is None  # nothing has missed it yet
        paths.gateway_status.write_text(json.dumps({"missing": [{"model": "qi-agent:v1.0.0"}]}))
        _until_there(keeper, models)
        if said == "again and again":  # it stays listed until somebody asks for it
            models.calls.clear()
            for _ in range(3):
                time.sleep(0.2)
                keeper.agree(3.0)
            assert models.calls == []


def _until_there(keeper: BaseKeeper, models: fake.FakeModels) -> None:
    until = time.monotonic() + 30
    while models.weights("qi-agent:v1.0.0") is None and time.monotonic() < until:
        time.sleep(0.1)
        keeper.agree(2.0)
    assert models.weights("qi-agent:v1.0.0") is not None
