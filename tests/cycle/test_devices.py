"""Which GPU serves and which trains: the machines that people have, in the words of nvidia-smi."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.cycle.resources import (
    as_devices,
)
from qi_learn.errors import Deferred, Refused
from qi_learn.outside.gpu import Device, find_devices, find_gpu, held_by_server
from qi_learn.outside.ollama import LoadedModel
from qi_learn.plan.placement import place_training
from qi_learn.records import Placement
from tests.support.gpus import UUIDS, Gpus

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
