"""Which GPU serves and which trains: the machines that people have, in words of nvidia-smi, and the
hand-over with a server that lets go, late or never.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.cycle import resources
from qi_learn.cycle.context import Cycle
from qi_learn.cycle.resources import as_devices, find_place, give_way, giving_way, room
from qi_learn.cycle.training import run_worker
from qi_learn.errors import Deferred, Refused, Stopped, TrainingError
from qi_learn.outside.gpu import Device, find_devices, find_gpu, held_by_server
from qi_learn.outside.ollama import LoadedModel, Ollama
from qi_learn.paths import Paths
from qi_learn.plan.placement import place_training
from qi_learn.records import Placement
from qi_learn.rundir.activity import held
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import IdleSettings, Settings
from qi_learn.spool import Spool
from tests.support.fake_models_server import FakeModels
from tests.support.gpus import UUIDS, Gpus
from tests.support.tiny_models import write_tiny_model

GB = 2**30
NEED, SERVED = 18 * GB, 5 * GB  # a 7B in bfloat16, and its Q4_K_M as it is served
CPU = Device("cpu", "a CPU", 64 * GB, 40 * GB, bf16=True)


def gpu(name: str, total: int, free: float, index: int = 0) -> Device:
    return Device(
        "cuda", name, total * GB, int(free * GB), bf16=True, index=index, uuid=f"GPU-{index}"
    )


def on(
    *devices: Device,
    loaded: dict[str, float] | None = None,
    held: dict[int, float] | None = None,
    need: int = NEED,
    wish: str = "auto",
) -> Placement:
    """Placed on GPUs in the order in which they are found: most free memory first."""
    models = [LoadedModel(name, int(size * GB)) for name, size in (loaded or {}).items()]
    found = [*sorted(devices, key=lambda d: -d.free), CPU]
    return place_training(
        found,
        wish=wish,
        need=lambda _: need,
        served=SERVED,
        loaded=models,
        held={f"GPU-{i}": int(size * GB) for i, size in (held or {}).items()},
    )


# --- who has what ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "loaded", "room_for_both"),
    [
        (79, {}, True),
        (72, {"qwen:7b": 6.5}, True),
        (19, {"qwen:7b": 60.0}, True),
        (8, {"qwen:7b": 71.0}, False),
        (2, {"a": 40.0, "b": 37.0}, False),
    ],
    ids=[
        "empty",
        "served",
        "a large context, and still room",
        "its context fills it",
        "two models",
    ],
)
def test_one_a100_does_both_unless_the_server_fills_it(
    free: float, loaded: dict[str, float], room_for_both: bool
) -> None:
    found = on(gpu("A100", 80, free), loaded=loaded, held={0: sum(loaded.values())})
    assert (found.device, found.gpus) == ("cuda:0", ("GPU-0",))
    if room_for_both:
        assert (found.unload, found.holds_requests, found.serves) == ((), False, "GPU-0")
        assert found.free == int(
            min(free, free - 5 + sum(loaded.values())) * GB
        )  # what the served model needs is left for it
    else:
        assert (found.unload, found.holds_requests, found.serves) == (tuple(loaded), True, "")
        assert found.free == int((free + sum(loaded.values())) * GB)


@pytest.mark.parametrize(
    ("free", "held", "trains", "serves"),
    [
        ((23.5, 23.5), {}, 1, 0),
        ((17, 23.5), {0: 6.5}, 1, 0),
        ((23.5, 17), {1: 6.5}, 0, 1),
        ((20, 23), {}, 1, 0),
        ((23, 20), {}, 0, 1),
    ],
    ids=[
        "idle",
        "the first serves",
        "the second serves",
        "a desktop on the first",
        "a desktop on the second",
    ],
)
def test_of_two_4090s_one_serves_and_one_trains(
    free: tuple[float, float], held: dict[int, float], trains: int, serves: int
) -> None:
    found = on(
        gpu("4090", 24, free[0], 0),
        gpu("4090", 24, free[1], 1),
        loaded={"m": sum(held.values())} if held else {},
        held=held,
    )
    assert (found.gpus, found.serves, found.unload, found.holds_requests) == (
        (f"GPU-{trains}",),
        f"GPU-{serves}",
        (),
        False,
    )
    assert found.device == "cuda:0", "the worker sees only one"


def test_where_the_server_is_on_both_it_moves_to_one_and_nobody_waits() -> None:
    found = on(
        gpu("4090", 24, 12, 0), gpu("4090", 24, 12, 1), loaded={"m": 22.0}, held={0: 11, 1: 11}
    )
    assert (found.unload, found.holds_requests, len(found.gpus)) == (("m",), False, 1)
    assert {found.serves, *found.gpus} == {"GPU-0", "GPU-1"}


def test_a_second_card_too_small_to_serve_is_no_second_card() -> None:
    found = on(gpu("4090", 24, 10, 0), gpu("1050", 4, 3.9, 1), loaded={"m": 13.0}, held={0: 13})
    assert (found.gpus, found.unload, found.holds_requests) == (("GPU-0",), ("m",), True)


@pytest.mark.parametrize(
    "loaded", [{"m": 6.0}, {}], ids=["loaded", "not loaded now, and no room for it meanwhile"]
)
def test_one_small_gpu_takes_turns(loaded: dict[str, float]) -> None:
    found = on(
        gpu("3090", 24, 20 - sum(loaded.values())), loaded=loaded, held={0: sum(loaded.values())}
    )
    assert (found.unload, found.holds_requests, found.serves, found.free) == (
        tuple(loaded),
        True,
        "",
        20 * GB,
    )


def test_where_no_processes_are_seen_the_servers_word_is_taken() -> None:
    """As in a container: nvidia-smi shows no processes, /api/ps says what is on a GPU."""
    assert on(gpu("4090", 24, 17, 0), gpu("4090", 24, 23.5, 1), loaded={"m": 6.5}).gpus == (
        "GPU-1",
    )
    one = on(gpu("3090", 24, 10), loaded={"m": 13.0})
    assert (one.unload, one.holds_requests, one.free) == (("m",), True, 23 * GB)
    with pytest.raises(Deferred):  # it cannot have more than is in use
        on(gpu("3090", 24, 10), loaded={"m": 6.0, "on another machine": 0.0})


def test_what_is_full_of_something_else_is_waited_for_and_what_is_too_small_is_not() -> None:
    with pytest.raises(
        Deferred, match=r"a game's card has 3\.0 of 24\.0 GiB free and needs 18\.0"
    ) as waits:
        on(gpu("a game's card", 24, 3))
    assert waits.value.exit_code == 75
    small = on(gpu("1050", 4, 3.9))
    assert (small.device, small.name, small.gpus, small.holds_requests) == (
        "cpu",
        "a CPU",
        (),
        False,
    )
    with pytest.raises(Refused, match="No device has the memory to train this base: 1050"):
        on(gpu("1050", 4, 3.9), wish="cuda")
    with pytest.raises(Deferred, match="a CPU has 40"):
        on(need=50 * GB)
    with pytest.raises(Refused, match="a CPU has 40"):
        on(need=70 * GB)
    with pytest.raises(Refused, match="this machine has none"):
        on(wish="cuda")
    assert on(gpu("A100", 80, 79), wish="cpu").device == "cpu"


def test_a_server_that_uses_no_gpu_needs_none() -> None:
    found = place_training([gpu("3090", 24, 20), CPU], wish="auto", need=lambda _: NEED, served=0)
    assert (found.gpus, found.serves, found.unload, found.holds_requests, found.free) == (
        ("GPU-0",),
        "",
        (),
        False,
        20 * GB,
    )


def test_more_free_gpus_of_a_kind_train_together() -> None:
    four = [
        gpu("A100", 80, 79, 0),
        gpu("A100", 80, 78, 1),
        gpu("A100", 80, 12, 2),
        gpu("T4", 16, 15.5, 3),
        gpu("T4", 16, 15.5, 4),
    ]
    found = on(*four, loaded={"m": 66.0}, held={2: 66})
    assert (found.gpus, found.serves, found.free) == (("GPU-0", "GPU-1"), "GPU-2", 78 * GB)
    assert [d.torch_name for d in as_devices(found)] == ["cuda:0", "cuda:1"]
    nobody_serves = place_training([*four[:2], CPU], wish="auto", need=lambda _: NEED, served=0)
    assert nobody_serves.gpus == ("GPU-0", "GPU-1")


# --- what nvidia-smi says -------------------------------------------------------------------------


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gpus:
    return Gpus.install(tmp_path / "bin", monkeypatch)


def test_what_the_server_holds_is_told_by_the_names_of_processes(gpus: Gpus) -> None:
    apps = (
        (0, "/usr/local/bin/ollama", 5500),
        (0, "/usr/lib/ollama/llama-server", 700),
        (1, "python3", 3000),
        (1, "[Not Found]", 100),
    )
    gpus.show(("RTX 4090", 24564, 18000), ("RTX 4090", 24564, 21000), apps=apps)
    assert held_by_server() == {UUIDS[0]: 6200 * 2**20}
    assert [(d.uuid, d.index) for d in find_devices() if d.kind == "cuda"] == [
        (UUIDS[1], 1),
        (UUIDS[0], 0),
    ]
    found = find_gpu(UUIDS[1])
    assert found is not None
    assert (found.free, found.busy) == (21000 * 2**20, 0.03)
    assert find_gpu("GPU-none") is None


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("1", [1]),
        ("1,0", [1, 0]),
        (UUIDS[0], [0]),
        (UUIDS[1][:9], [1]),
        ("", []),
        ("-1,0", []),
        ("0,7,1", [0]),
    ],
    ids=str,
)
def test_what_cuda_hides_from_us_is_not_there(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, named: str, seen: list[int]
) -> None:
    gpus.show(("RTX 4090", 24564, 18000), ("RTX 4090", 24564, 21000))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert {d.index for d in find_devices() if d.kind == "cuda"} == set(seen)


# --- the hand-over --------------------------------------------------------------------------------


@pytest.fixture
def cycle(tmp_path: Path) -> Iterator[Callable[..., Cycle]]:
    """A cycle on a tiny base, on a server that says what it has in memory."""
    paths = Paths.under(tmp_path / "home").ensure()
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, width=64, feed=256)
    run = RunDirectory(paths.runs / "R1")
    run.path.mkdir()
    opened = []

    def made(url: str, **changes: float) -> Cycle:
        request = RunRequest("R1", url, 1.0, "a test", 0, 20, str(base), "1.0.0")
        opened.extend((Ollama(url), Spool(paths.spool, "cycle")))
        return Cycle(
            run,
            request,
            paths,
            Settings(idle=IdleSettings(**changes)),
            opened[-2],
            opened[-1],
            time.time,
            -1,
        )  # type: ignore[arg-type]

    yield made
    for one in opened:
        one.close()


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
    server.on_unload = lambda _: (
        server.memory or threading.Timer(0.5, small_card, (gpus,), {"free": 1, "ollama": 0}).start()
    )  # drivers are late
    one = cycle(server.url)
    found = find_place(one)
    assert (found.unload, found.holds_requests, found.activity, found.gpus) == (
        ("qi-agent:v1.1.0", "nomic:latest"),
        True,
        None,
        (UUIDS[0],),
    )
    assert [d.torch_name for d in as_devices(found)] == ["cuda:0"]
    with room(one, found) as wanted:
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
    with room(one, find_place(one)):
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
    with pytest.raises(Deferred, match="did not let go of m:latest"), room(one, find_place(one)):
        pass
    assert held(one.paths.hold) is None
    server.lingers = False  # it lets go, but the memory stays in use
    with pytest.raises(Deferred, match=r"Tiny 1 has 0\.0 GiB free"), room(one, find_place(one)):
        pass
    assert held(one.paths.hold) is None
    assert server.memory == {}


def test_whoever_waits_for_the_gpu_gets_it_for_an_hour(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    small_card(gpus, free=1, ollama=0)
    one = cycle(server.url, longest_pause=60.0, quiet=10.0)
    with room(one, find_place(one)) as wanted:
        time.sleep(0.05)
        one.paths.activity.touch()
        assert wanted()
    with pytest.raises(Deferred, match="needed to answer requests"):
        give_way(one)
    with pytest.raises(Deferred):  # still answering
        find_place(one)
    os.utime(one.paths.activity, (time.time() - 11, time.time() - 11))
    assert find_place(one).holds_requests
    one.run.journal(0.0, "train", "gave way")  # the first time is long ago
    lines = (one.run.path / "journal.jsonl").read_text().splitlines()
    (one.run.path / "journal.jsonl").write_text("\n".join(sorted(lines)) + "\n")
    one.paths.activity.touch()
    with room(one, find_place(one)) as wanted:
        time.sleep(0.05)
        one.paths.activity.touch()
        assert not wanted()


def test_the_gate_asks_nothing_while_requests_are_answered(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    one = cycle(server.url, longest_pause=60.0, quiet=2.0)
    wait, looked = giving_way(one), []
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
    wait, looked = giving_way(impatient), []
    impatient.paths.activity.touch()
    for _ in range(3):
        wait(lambda: looked.append(1))
    assert 1 <= len(looked) <= 4

    def stop() -> None:
        raise Stopped("no more")

    endless = giving_way(cycle(server.url, longest_pause=60.0, quiet=3600.0))
    with pytest.raises(Stopped, match="no more"):
        endless(stop)


def test_where_both_fit_it_pauses_for_requests_and_beside_it_need_not(
    gpus: Gpus, server: FakeModels, cycle: Callable[..., Cycle]
) -> None:
    one = cycle(server.url, quiet=7.0, longest_pause=2.0)
    gpus.show(("Large", 100, 99))
    both = find_place(one)
    assert (both.activity, both.quiet_seconds, both.longest_pause) == (
        str(one.paths.activity),
        7.0,
        120.0,
    )
    gpus.show(("Large", 100, 99), ("Large", 100, 99))
    beside = find_place(one)
    assert (beside.activity, beside.serves != beside.gpus[0]) == (None, True)
    gpus.show()
    assert (find_place(one).device, find_place(one).activity) == ("cpu", str(one.paths.activity))


def test_a_server_that_is_away_is_only_missed_where_there_is_a_gpu(
    gpus: Gpus, cycle: Callable[..., Cycle]
) -> None:
    one = cycle("http://127.0.0.1:9")
    gpus.show()
    assert find_place(one).device == "cpu"
    gpus.show(("Large", 100, 99))
    with pytest.raises(Exception, match="Nobody answers"):
        find_place(one)
    assert find_place(cycle("http://192.0.2.1:11434")).gpus == (
        UUIDS[0],
    )  # its memory is on another machine: it is not even asked


# --- the worker -----------------------------------------------------------------------------------

WORKER = """#!{python}
import os, pathlib, signal, sys, time
run = pathlib.Path(sys.argv[4])
(run / "saw").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
if (run / "wait").exists():
    signal.signal(signal.SIGTERM, lambda *_: ((run / "saved").touch(), sys.exit(75)))
    (run / "ready").touch()
    time.sleep(60)
(run / "result.json").write_text("{{}}")
"""


def test_the_worker_sees_the_gpu_it_was_given_and_saves_when_its_place_is_wanted(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python"
    python.write_text(WORKER.format(python=sys.executable))
    python.chmod(0o755)
    run = RunDirectory(tmp_path / "R1")
    run.path.mkdir()
    lock = run.hold()
    assert lock is not None
    (run.path / "wait").touch()
    assert not run_worker(
        run, str(python), lock=lock, gpus=(UUIDS[1],), wanted=lambda: (run.path / "ready").exists()
    )
    assert (run.path / "saw").read_text() == UUIDS[1]
    assert (run.path / "saved").exists()
    (run.path / "wait").unlink()
    assert run_worker(run, str(python), lock=lock)
    assert (run.path / "saw").read_text() == ""  # a training on the CPU has no business on a GPU
    os.close(lock)


def test_errors_of_a_worker_are_told_as_before(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "R1")
    run.path.mkdir()
    lock = run.hold()
    assert lock is not None
    with pytest.raises(TrainingError, match="could not be started"):
        run_worker(run, str(tmp_path / "none"), lock=lock)
    again = tmp_path / "again"
    again.write_text("#!/bin/sh\nexit 75\n")
    again.chmod(0o755)
    with pytest.raises(Stopped):
        run_worker(run, str(again), lock=lock)
    os.close(lock)
