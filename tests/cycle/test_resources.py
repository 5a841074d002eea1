"""The hand-over of a GPU, with a server that lets go of it, late or never."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from qi_learn.cycle import resources
from qi_learn.cycle.context import Cycle
from qi_learn.cycle.resources import (
    as_devices,
    choose_placement,
    give_way,
    giving_way,
    make_room,
)
from qi_learn.errors import Deferred, Stopped
from qi_learn.outside.gpu import find_gpu
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.rundir.activity import held
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import IdleSettings, Settings
from qi_learn.spool import Spool
from tests.support.fake_models_server import FakeModels
from tests.support.gpus import UUIDS, Gpus
from tests.support.tiny_models import write_tiny_model


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gpus:
    return Gpus.install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def cycle(tmp_path: Path) -> Iterator[Callable[..., Cycle]]:
    """A cycle on a tiny base, at a server that reports what it has in memory."""
    paths = Paths.under(tmp_path / "home").ensure()
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, width=64, feed=256)
    run = RunDirectory(paths.runs / "R1")
    run.path.mkdir()
    with ExitStack() as opened:

        def made(url: str, **changes: Any) -> Cycle:
            request = RunRequest("R1", url, 1.0, "a test", 0, 20, str(base), "1.0.0")
            server = opened.enter_context(Ollama(url))
            spool = opened.enter_context(closing(Spool(paths.spool, "cycle")))
            settings = Settings(idle=IdleSettings(**changes))
            return Cycle(run, request, paths, settings, server, spool, time.time, -1)

        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeModels]:
    with FakeModels(tmp_path / "models") as running:
        yield running


def small_card(gpus: Gpus, *, free: int = 0, ollama: int = 1) -> None:
    """One GPU of 1 MiB, large enough for the tiny base and for nothing beside it."""
    gpus.show(("Tiny 1", 1, free), apps=((0, "/usr/local/bin/ollama", ollama),) if ollama else ())


def test_the_only_gpu_changes_hands_and_back(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    server.memory.update({"qi-agent:v1.1.0": 700_000, "nomic:latest": 300_000})
    small_card(gpus)

    def later(_: str) -> None:  # drivers are late
        if not server.memory:
            threading.Timer(0.5, small_card, (gpus,), {"free": 1, "ollama": 0}).start()

    server.on_unload = later
    one = cycle(server.url)
    found = choose_placement(one)
    assert (found.unload, found.holds_requests, found.activity, found.gpus) == (
        ("qi-agent:v1.1.0", "nomic:latest"),
        True,
        None,
        (UUIDS[0],),
    )
    assert [d.torch_name for d in as_devices(found)] == ["cuda:0"]
    with make_room(one, found) as wanted:
        assert server.memory == {}
        assert "The only GPU is training" in str(held(one.paths.hold))
        assert json.loads(one.run.placement.read_text())["gpus"] == [UUIDS[0]]
        gone = find_gpu(UUIDS[0])
        assert gone is not None
        assert gone.free == 2**20
        assert not wanted()
    assert held(one.paths.hold) is None
    assert [line["state"] for line in one.run.history()] == ["placed", "unloaded"]
    assert server.calls.count("POST /api/generate") == 2


def test_a_model_that_somebody_loads_meanwhile_is_asked_to_go_too(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    server.memory["m:latest"] = 700_000
    small_card(gpus)
    again = ["m:latest"]

    def unloaded(_: str) -> None:
        if again:
            server.memory[again.pop()] = 700_000
        else:
            small_card(gpus, free=1, ollama=0)

    server.on_unload = unloaded
    one = cycle(server.url)
    with make_room(one, choose_placement(one)):
        assert server.memory == {}
    assert server.calls.count("POST /api/generate") == 2


def test_a_server_that_goes_on_answering_is_waited_for_later(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "UNLOAD_SECONDS", 0.3)
    monkeypatch.setattr(resources, "FREE_SECONDS", 0.3)
    server.memory["m:latest"], server.lingers = 700_000, True
    small_card(gpus)
    one = cycle(server.url)
    with (
        pytest.raises(Deferred, match="did not let go of m:latest"),
        make_room(one, choose_placement(one)),
    ):
        pass
    assert held(one.paths.hold) is None
    server.lingers = False  # it lets go, but the memory stays in use
    with (
        pytest.raises(Deferred, match=r"Tiny 1 has 0\.0 GiB free"),
        make_room(one, choose_placement(one)),
    ):
        pass
    assert held(one.paths.hold) is None
    assert server.memory == {}


def test_whoever_waits_for_the_gpu_gets_it_for_an_hour(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    small_card(gpus, free=1, ollama=0)
    one = cycle(server.url, longest_pause=60.0, quiet=10.0)
    with make_room(one, choose_placement(one)) as wanted:
        time.sleep(0.05)
        one.paths.activity.touch()
        assert wanted()
    with pytest.raises(Deferred, match="needed to answer requests"):
        give_way(one)
    with pytest.raises(Deferred):  # still answering
        choose_placement(one)
    os.utime(one.paths.activity, (time.time() - 11, time.time() - 11))
    assert choose_placement(one).holds_requests
    one.run.journal(0.0, "train", "gave way")  # the first time is long ago
    lines = (one.run.path / "journal.jsonl").read_text().splitlines()
    (one.run.path / "journal.jsonl").write_text("\n".join(sorted(lines)) + "\n")
    one.paths.activity.touch()
    with make_room(one, choose_placement(one)) as wanted:
        time.sleep(0.05)
        one.paths.activity.touch()
        assert not wanted()


def test_the_gate_asks_nothing_while_requests_are_answered(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    one = cycle(server.url, longest_pause=60.0, quiet=2.0)
    wait, looked = giving_way(one, "gate"), []
    one.paths.activity.touch()
    wait(lambda: looked.append(1))
    assert len(looked) >= 2, "it looks again and again"
    looked.clear()
    os.utime(one.paths.activity, (0, 0))
    wait(lambda: looked.append(1))
    assert looked == [], "it is quiet"
    assert [line["state"] for line in one.run.history()] == [resources.WAITS]


def test_the_gates_waits_have_a_limit_all_together_and_a_stop_ends_them(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    impatient = cycle(server.url, longest_pause=0.5 / 60, quiet=3600.0)
    wait, looked = giving_way(impatient, "gate"), []
    impatient.paths.activity.touch()
    for _ in range(3):
        wait(lambda: looked.append(1))
    assert 1 <= len(looked) <= 4

    def stop() -> None:
        raise Stopped("no more")

    endless = giving_way(cycle(server.url, longest_pause=60.0, quiet=3600.0), "gate")
    with pytest.raises(Stopped, match="no more"):
        endless(stop)


def test_where_both_fit_it_pauses_for_requests_and_beside_it_need_not(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    one = cycle(server.url, quiet=7.0, longest_pause=2.0)
    gpus.show(("Large", 100, 99))
    both = choose_placement(one)
    assert (both.activity, both.quiet_seconds, both.longest_pause) == (
        str(one.paths.activity),
        7.0,
        120.0,
    )
    gpus.show(("Large", 100, 99), ("Large", 100, 99))
    beside = choose_placement(one)
    assert (beside.activity, beside.serves != beside.gpus[0]) == (None, True)
    gpus.show()
    assert (choose_placement(one).device, choose_placement(one).activity) == (
        "cpu",
        str(one.paths.activity),
    )


def test_a_server_that_is_away_is_only_missed_where_there_is_a_gpu(
    gpus: Gpus, cycle: Callable[..., Cycle]
) -> None:
    one = cycle("http://127.0.0.1:9")
    gpus.show()
    assert choose_placement(one).device == "cpu"
    gpus.show(("Large", 100, 99))
    with pytest.raises(Exception, match="No server answers"):
        choose_placement(one)
    assert choose_placement(cycle("http://192.0.2.1:11434")).gpus == (
        UUIDS[0],
    )  # its memory is on another machine: it is not even asked
