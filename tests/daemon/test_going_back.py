"""Going back while the daemon runs, and while nothing does."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon import client
from qi_learn.deploy.journal import load_deployment
from qi_learn.store.database import open_store
from qi_learn.store.releases import list_moves, rollback_seconds
from tests.support.command_line import wait_until
from tests.support.daemon_process import daemon, qi
from tests.support.engine_server import running_engine
from tests.support.world import World


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A home with three versions on top of the base, nothing running."""
    root = tmp_path_factory.mktemp("released")
    with running_engine(root, "--models", str(root / "home" / "data" / "models")) as server:
        own = type(server)(server.url, root / "home" / "data" / "models", server.process)
        world = World.make(root / "home", base, own)
        for seed in (1, 2, 3):
            world.release(own, seed)
    assert load_deployment(world.paths).chain == ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
    return world.root


@pytest.fixture
def versions(tmp_path: Path, released: Path, base: Path) -> World:
    shutil.copytree(released, tmp_path / "home")
    return World.make(tmp_path / "home", base, None)


def live_route(world: World) -> str:
    return str(json.loads(world.paths.routes.read_text())["live"])


def back(world: World, *words: str) -> dict[str, Any]:
    said = qi(world, "rollback", "--json", *words)
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


def test_back_while_the_daemon_runs(versions: World) -> None:
    with daemon(versions):
        state = client.running(versions.paths)
        assert state is not None
        assert (
            versions.assert_answers(state.gateway).headers["x-qi-learn-model"] == "qi-agent:v1.3.0"
        )
        done = back(versions)
        assert (done["before"], done["version"], done["alias_moved"]) == ("1.3.0", "1.2.0", True)
        assert live_route(versions) == "qi-agent:v1.2.0"
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.2.0")
        wait_until(
            lambda: (
                versions.assert_answers(state.gateway).headers["x-qi-learn-model"]
                == "qi-agent:v1.2.0"
            )
        )

        assert back(versions, "v1.1.0", "--dry-run")["dry_run"]
        assert live_route(versions) == "qi-agent:v1.2.0"
        assert back(versions, "v1.0.0")["version"] == "1.0.0"
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.0.0")
        nothing = qi(versions, "rollback")
        assert nothing.returncode == 1
        assert "nothing to roll back to" in nothing.stderr
        assert "v1.1.0, v1.2.0, v1.3.0" in nothing.stderr
        assert back(versions, "v1.3.0")["version"] == "1.3.0"  # and forward again
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.3.0")

        def moves() -> list[tuple[str, str, str | None]]:
            with open_store(versions.paths.database, readonly=True) as store:
                return [
                    (m.action, m.version, m.previous)
                    for m in list_moves(store)
                    if m.action != "base"
                ]

        wait_until(
            lambda: (
                moves()
                == [
                    ("rolled_back", v, before)
                    for v, before in (("1.3.0", "1.0.0"), ("1.0.0", "1.2.0"), ("1.2.0", "1.3.0"))
                ]
            )
        )
        with open_store(versions.paths.database, readonly=True) as store:
            assert 0 < (rollback_seconds(store) or 0) < 5


@pytest.mark.parametrize("damage", ["gone", "corrupt"])
def test_back_with_nothing_up_and_no_database(versions: World, damage: str) -> None:
    versions.paths.database.unlink(missing_ok=True)
    if damage == "corrupt":
        versions.paths.database.write_bytes(b"no database" * 1000)
    done = back(versions)
    assert (done["version"], done["alias_moved"]) == ("1.2.0", False)
    assert "follows" in done["remark"]
    assert back(versions)["version"] == "1.1.0"
    assert live_route(versions) == "qi-agent:v1.1.0"
    unknown = qi(versions, "rollback", "v7.0.0")
    assert (unknown.returncode, "no version v7.0.0" in unknown.stderr) == (1, True)
    if damage == "gone":
        with daemon(versions):  # it brings the server, and the alias follows
            assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.1.0")
            versions.assert_answers()


def test_a_rollback_that_reached_no_server_is_followed_by_the_daemon(versions: World) -> None:
    """The server was busy for longer than a rollback waits: routes at once, the alias within
    seconds.
    """
    with daemon(versions):
        engine = json.loads((versions.paths.state / "engine.json").read_text())["pid"]
        os.kill(engine, signal.SIGSTOP)
        try:
            done = back(versions)
            assert (done["version"], done["alias_moved"]) == ("1.2.0", False)
            assert f"The engine is there (pid {engine}) and does not answer" in done["remark"]
            assert live_route(versions) == "qi-agent:v1.2.0"
        finally:
            os.kill(engine, signal.SIGCONT)
        wait_until(
            lambda: versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.2.0")
        )
