"""The daemon has versions compared at night, beside nothing else, and once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.cycle.night import last_night, night_at
from qi_learn.daemon.monitoring import MAX_DEATHS, Monitoring
from qi_learn.deploy.model_server import ModelServer
from qi_learn.paths import Paths
from qi_learn.rundir.recording_pause import begin_pause, end_pause
from qi_learn.settings import GateSettings
from qi_learn.store.database import open_store
from qi_learn.store.monitored import list_monitored
from tests.support.command_line import wait_until
from tests.support.daemon_process import daemon, end_servers
from tests.support.engine_server import running_engine
from tests.support.shipped_home import shipped, zone_at
from tests.support.world import World

NOWHERE = ModelServer("http://127.0.0.1:9", False, None)


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is three o'clock, here and in every process that is started."""
    monkeypatch.setenv("TZ", zone_at(3))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, base: Path) -> World:
    place = tmp_path_factory.mktemp("made")
    home = World.make(place / "home", base, None, train={"auto": False})
    with running_engine(place, "--models", str(home.paths.models)) as server:
        shipped(World.make(home.root, base, server, train={"auto": False}), server)
    return home


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """That home for one test alone."""
    shutil.copytree(made.root, tmp_path / "home", symlinks=True)
    monkeypatch.setenv("QI_LEARN_HOME", str(tmp_path / "home"))
    world = World(tmp_path / "home", made.base, None, made.alias, made.tables)
    yield world
    end_servers(world.paths)


def counted(world: World) -> int:
    """Sessions that the store has counted."""
    with open_store(world.paths.database, readonly=True) as store:
        return sum(each.sessions for each in list_monitored(store, "1.1.0"))


@pytest.mark.usefixtures("night")
def test_at_night_versions_are_compared_once_and_not_in_a_pause(world: World) -> None:
    begin_pause(world.paths.pause, time.time(), None)
    with daemon(world):
        time.sleep(2.5)
        assert last_night(world.paths.night) is None
        end_pause(world.paths.pause, time.time())
        wait_until(lambda: counted(world) == 3, 120)
        wait_until(lambda: (found := last_night(world.paths.night)) is not None and found.done, 60)
    log = (world.paths.logs / "daemon.log").read_text()
    assert log.count("versions are compared") == 1


def ticked(monitoring: Monitoring, *, unwanted: bool = False, disturbs: str = "") -> bool:
    monitoring.tick(time.time(), unwanted=unwanted, disturbs=lambda: disturbs)
    return monitoring.working


@pytest.mark.usefixtures("night")
def test_it_waits_for_a_quiet_moment_and_leaves_when_something_comes_first(world: World) -> None:
    monitoring = Monitoring(world.paths, GateSettings(), NOWHERE)
    assert not ticked(monitoring, disturbs="a request was answered just now")
    again = Monitoring(world.paths, GateSettings(), NOWHERE)
    assert not ticked(again, unwanted=True)
    assert ticked(again)
    wait_until(lambda: not ticked(again, unwanted=True), 30)
    assert not ticked(again)  # it rests before the next
    again.stop()


@pytest.mark.usefixtures("night")
def test_none_is_started_without_a_version_before_or_if_it_is_switched_off(
    tmp_path: Path, world: World
) -> None:
    assert not ticked(Monitoring(world.paths, GateSettings(night_tokens=0), NOWHERE))
    nothing_live = Paths.under(tmp_path / "other").ensure()
    assert not ticked(Monitoring(nothing_live, GateSettings(), NOWHERE))


@pytest.mark.usefixtures("night")
def test_one_that_dies_again_and_again_is_left_alone_until_the_next_night(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qi_learn.daemon import monitoring as module

    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    world.paths.settings_file.write_text("[train]\nbanana = 1\n")
    monitoring = Monitoring(world.paths, GateSettings(), NOWHERE)
    for _ in range(MAX_DEATHS):
        assert ticked(monitoring)
        wait_until(lambda: not monitoring.working, 30)
        assert not ticked(monitoring)  # its end is noted
    found = last_night(world.paths.night)
    assert found is not None
    assert (found.night, found.done) == (night_at(time.time()), True)
    assert "failed 3 times" in found.why
    assert not ticked(monitoring)
