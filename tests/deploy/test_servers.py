"""The whole life of versions on real servers: the embedded engine, and an Ollama if one is
installed; real GGUF files, random weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qi_learn.deploy import release
from qi_learn.deploy.alias import switch_alias
from qi_learn.deploy.base_version import BaseSource, ensure_base
from qi_learn.deploy.candidate import drop_candidates, make_model, smoke_test
from qi_learn.deploy.journal import Deployment, candidate_model, load_deployment
from qi_learn.deploy.rollback import roll_back
from qi_learn.errors import NotFound, ServerError, SettingsError
from qi_learn.gate.measure import measure_behaviour
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Example, Release
from tests.support.tiny_models import write_tiny_model

ALIAS = "qi-test:latest"
ASK: dict[str, Any] = {
    "endpoint": "/api/chat",
    "body": {"messages": [{"role": "user", "content": "Say hi."}]},
}


@dataclass(frozen=True)
class Real:
    server: Ollama
    store: Path


@contextmanager
def _engine(root: Path) -> Iterator[Real]:
    ready, store = root / "engine.json", root / "models"
    command = [
        sys.executable,
        "-m",
        "qi_learn.engine",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--models",
        str(store),
        "--context",
        "256",
    ]
    with subprocess.Popen(
        [*command, "--ready", str(ready), "--parent", str(os.getpid())]
    ) as process:
        try:
            while not ready.exists() and process.poll() is None:
                time.sleep(0.02)
            with Ollama(json.loads(ready.read_text())["url"]) as server:
                yield Real(server, store)
        finally:
            process.terminate()


@contextmanager
def _ollama(root: Path) -> Iterator[Real]:
    program = shutil.which("ollama")
    if program is None:
        pytest.skip("NOT TESTED against a real Ollama: there is no `ollama` on the PATH")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(root / "models"),
        "HOME": str(root),
    }
    with (
        (root / "ollama.log").open("wb") as log,
        subprocess.Popen([program, "serve"], env=env, stdout=log, stderr=log) as process,
    ):
        try:
            with Ollama(f"http://127.0.0.1:{port}") as server:
                while not server.reachable() and process.poll() is None:
                    time.sleep(0.05)
                yield Real(server, root / "models")
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=[_engine, _ollama], ids=["engine", "ollama"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Real]:
    with request.param(tmp_path_factory.mktemp("server")) as running:
        yield running


def tiny(directory: Path, seed: int) -> tuple[Path, str]:
    path = write_tiny_model(directory / f"tiny{seed}.gguf", seed=seed)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_life_of_versions(real: Real, tmp_path: Path) -> None:
    server, paths = real.server, Paths.under(tmp_path / "home").ensure()
    base, base_digest = tiny(tmp_path, 1)
    ensure_base(
        paths,
        server,
        BaseSource("", base, base_digest),
        alias=ALIAS,
        answer_for=(),
        store=real.store,
        now=1.0,
    )
    answers = {"1.0.0": _say(server, ALIAS)}

    for seed, run in ((2, "R1"), (3, "R2")):
        path, digest = tiny(tmp_path, seed)
        candidate = candidate_model(ALIAS, run)
        make_model(server, candidate, path, digest, {})
        smoke = smoke_test(server, candidate, "qi-test:v1.0.0")
        assert (smoke.answers, smoke.same_template, smoke.same_stops, smoke.problem) == (
            True,
            True,
            True,
            "",
        )
        live = load_deployment(paths).live

        def make(
            version: str, model: str, run: str = run, digest: str = digest, live: str = live
        ) -> Release:
            return Release(version, model, digest, 2.0, base_digest, parent=live, run_id=run)

        done = release.promote(
            paths,
            server,
            release.Candidate(candidate, run, live),
            make=make,
            store=real.store,
            keep=3,
        )
        answers[done.release.version] = _say(server, ALIAS)
        assert _say(server, done.release.model) == answers[done.release.version]

    assert len(set(answers.values())) == 3
    assert sorted(m.name for m in server.models() if m.name.startswith("qi-test:")) == [
        ALIAS,
        "qi-test:v1.0.0",
        "qi-test:v1.1.0",
        "qi-test:v1.2.0",
    ]
    assert roll_back(paths, server, store=real.store).alias_moved
    assert _say(server, ALIAS) == answers["1.1.0"]
    assert roll_back(paths, server, store=None).alias_moved
    assert _say(server, ALIAS) == answers["1.0.0"]
    assert release.retire(paths, server, keep=1) == ("1.1.0", "1.2.0")
    assert sorted(m.name for m in server.models() if m.name.startswith("qi-test:")) == [
        ALIAS,
        "qi-test:v1.0.0",
    ]
    server.unload(ALIAS)


def test_a_base_that_the_server_has_already(real: Real, tmp_path: Path) -> None:
    server = real.server
    make_model(server, "own:7b", *tiny(tmp_path, 7), {"system": "Be terse."})

    def ensured(home: str) -> Deployment:
        return ensure_base(
            Paths.under(tmp_path / home).ensure(),
            server,
            BaseSource("own:7b"),
            alias="qi-two",
            answer_for=("own:7b",),
            store=real.store,
            now=1.0,
        )

    made = ensured("home")
    assert server.has_blob(made.live_release.digest)
    assert (server.find("qi-two") or pytest.fail("gone")).digest == (
        server.find("own:7b") or pytest.fail("gone")
    ).digest
    assert "Be terse." in server.render("/api/chat", {"model": "qi-two", **ASK["body"]})
    with pytest.raises(SettingsError, match="did not make"):
        ensured("another")
    for name in ("own:7b", "qi-two", "qi-two:v1.0.0"):
        server.delete(name)


def _say(server: Ollama, model: str) -> str:
    return server.ask(
        {**ASK, "body": {**ASK["body"], "options": {"temperature": 0, "num_predict": 12}}}, model
    ).text


def test_the_alias_moves_by_rename_and_by_copy(real: Real, tmp_path: Path) -> None:
    server = real.server
    for seed, name in ((4, "a:1"), (5, "a:2")):
        make_model(server, name, *tiny(tmp_path, seed), {})
    assert switch_alias(server, "a:live", "a:1", real.store) == "renamed"
    assert switch_alias(server, "a:live", "a:1", real.store) == "already"
    assert switch_alias(server, "a:live", "a:2", None) == "copied"
    assert switch_alias(server, "a:live", "a:1", tmp_path) == "copied"
    assert (server.find("a:live") or pytest.fail("gone")).digest == (
        server.find("a:1") or pytest.fail("gone")
    ).digest
    for name in ("a:1", "a:2", "a:live"):
        server.delete(name)
    with pytest.raises(ServerError, match="any more"):
        switch_alias(server, "a:live", "a:1", real.store)


def test_what_the_gate_asks_of_a_served_model(real: Real, tmp_path: Path) -> None:
    server = real.server
    make_model(server, "b:1", *tiny(tmp_path, 6), {"parameters": {"num_ctx": 128}})
    ids = tuple(range(4, 40))
    asked = [
        Example(
            str(i),
            str(i),
            "p",
            "t",
            ids,
            ids,
            (True,) * len(ids),
            kept_code="def f():\n    return 1\n",
            ask=ASK,
        )
        for i in range(3)
    ]
    first, second = (measure_behaviour(server, "b:1", asked, answer_tokens=16) for _ in range(2))
    assert first.answers == second.answers
    assert first.answers[0] == first.answers[1]
    assert first.tokens_per_second > 0
    assert all(0 <= s <= 1 for s in first.similarity)
    assert server.loaded() != ()
    server.copy("b:1", "b:candidate-X")
    assert drop_candidates(server, "b") == ["b:candidate-X"]
    server.delete("b:1")


def test_what_a_real_server_refuses(real: Real, tmp_path: Path) -> None:
    server = real.server
    (tmp_path / "garbage.gguf").write_bytes(b"no model")
    with pytest.raises(ServerError, match="GGUF"):
        make_model(
            server, "c:1", tmp_path / "garbage.gguf", hashlib.sha256(b"no model").hexdigest(), {}
        )
    assert not server.has("c:1")
    with pytest.raises(ServerError) as caught:
        server.create("c:1", files={"m.gguf": "1" * 64})
    assert "1" * 64 in caught.value.what
    with pytest.raises(NotFound):
        server.create("c:1", from_model="no-such-model")
    with pytest.raises(ServerError) as caught:
        server.copy("no-such-model", "c:1")
    assert caught.value.status == 404
