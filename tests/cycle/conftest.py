"""One base, one server and two learned homes, shared by the tests of the cycle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.deploy.journal import load_deployment
from tests.support.cycles import (
    SESSIONS,
    Learned,
    kill_at,
    other_steps,
    watched_alias,
)
from tests.support.engine_server import Server, running_engine
from tests.support.world import World, steps, tiny_base


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, base: Path, server: Server) -> World:
    """A home with nothing learned and nothing recorded yet."""
    return World.make(tmp_path / "home", base, server, f"{tmp_path.name.replace('_', '-')}:latest")


@pytest.fixture(scope="package")
def first(tmp_path_factory: pytest.TempPathFactory, base: Path, server: Server) -> Learned:
    """A home after its first cycle."""
    world = World.make(tmp_path_factory.mktemp("learned"), base, server, "learned:latest")
    world.work(SESSIONS, steps)
    run = world.request()
    code = world.cycle(run)
    with world.store() as store:
        world.take_in(store)
    return Learned(world, run, code)


@pytest.fixture(scope="package")
def second(first: Learned) -> Learned:
    """The same home after a second cycle, which was killed three times on its way."""
    world = first.world
    world.work({f"t{n}": 4 for n in range(6)}, other_steps, first=100)
    run = world.request()
    with watched_alias(world) as seen:
        for line in (("freeze", "done"), ("scale", "chosen"), ("deploy", "begun")):
            kill_at(world, run, {line})
            world.assert_answers()
            assert not run.ended
        code = world.cycle(run)
    with world.store() as store:
        world.take_in(store)
    releases = [load_deployment(world.paths).release(v) for v in ("1.1.0", "1.2.0")]
    assert seen.models == [world.digest_of(r.model) for r in releases]
    assert seen.faults == []
    return Learned(world, run, code)
