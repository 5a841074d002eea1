"""The device on which a cycle trains, and the room that is made on it.

It is chosen anew whenever the training starts; the room is kept as long as the training lasts, and
given back whatever happens.

Only if one GPU must do both, the server's models are unloaded and requests wait at the gateway
(rundir/activity.py). A request does not wait for long: the worker saves its state, the GPU goes
back, and the cycle is tried again later, for `idle.longest_pause` from the first time on. After
that, requests wait for `idle.longest_hold`, and the answer says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from qi_learn.cycle.context import Cycle
from qi_learn.errors import Deferred
from qi_learn.outside.gpu import Device, find_devices, find_gpu, held_by_server
from qi_learn.outside.ollama_parallel import Stop, Wait
from qi_learn.outside.python_env import look_into
from qi_learn.plan.backend import LOOKED_FOR
from qi_learn.plan.base_model import BaseModel, read_base
from qi_learn.plan.fallback import read_plan
from qi_learn.plan.memory import may_be_small, needed_bytes
from qi_learn.plan.placement import SERVED, place_training
from qi_learn.records import Placement, Plan
from qi_learn.rundir.activity import holding, quiet_for

UNLOAD_SECONDS = 60.0
"""Time that the server has to unload its models: it finishes the answers under way."""
FREE_SECONDS = 15.0
"""Time that the driver has to count the memory as free."""
LOOK_SECONDS = 0.2
"""Between two looks at what is waited for."""
BUSY = (
    "The only GPU is training, and has no room for this model meanwhile. `qi-learn status` shows "
    "how far it is, `qi-learn train --cancel` ends it."
)
"""For a client whose request waited for too long."""
GAVE_WAY = "gave way"
"""State in the journal: the GPU went back to the server."""
WAITS = "waits between its questions and texts while requests are answered"
"""State in the journal of the gate, and of the choice of a scale."""


def choose_placement(cycle: Cycle, plan: Plan | None = None) -> Placement:
    """The device on which the cycle trains, given what is free now.

    A plan that is made already (with what it has given up since) trains on the kind of device that
    it is for. Raises Deferred if training has to wait, Refused if it never can, ServerError.
    """
    settings, devices = cycle.settings, find_devices()
    chosen = _place(cycle, plan, devices)
    if plan is not None and chosen.device == "cpu":
        chosen = replace(chosen, reason="the cycle is planned for it")
    if chosen.holds_requests and _may_give_way(cycle) and _quiet(cycle) < settings.idle.quiet:
        give_way(cycle)
    if chosen.device != "cpu" and chosen.serves not in chosen.gpus:
        return chosen
    return replace(
        chosen,
        activity=str(cycle.paths.activity),
        quiet_seconds=settings.idle.quiet,
        longest_pause=settings.idle.longest_pause * 60,
    )


def _place(cycle: Cycle, plan: Plan | None, devices: Sequence[Device]) -> Placement:
    """The placement as the devices, the base and the server's own use of them have it."""
    base = read_base(cycle.base)
    four_bit = (
        plan.hardware.four_bit
        if plan
        else look_into(cycle.settings.train.python, LOOKED_FOR).usable("bitsandbytes")
    )

    def need(device: Device) -> int:
        small = four_bit and _never_fits(base, device) and may_be_small(base, device, devices)
        return needed_bytes(base, device, four_bit=small)

    shared = serves_here(cycle, devices)
    return place_training(
        devices,
        wish=_wish(cycle, plan, devices),
        need=need,
        served=int(SERVED * cycle.base.stat().st_size) if shared else 0,
        loaded=cycle.server.in_memory() if shared else (),
        held=held_by_server() if shared else {},
    )


def _wish(cycle: Cycle, plan: Plan | None, devices: Sequence[Device]) -> str:
    """The kind of device to train on: the plan's, else the setting.

    Raises Deferred if the plan's GPU is away.
    """
    if plan is None:
        return cycle.settings.train.device
    if not plan.hardware.device.startswith("cuda"):
        return "cpu"
    if not any(device.kind == "cuda" for device in devices):
        raise Deferred(
            "The GPU that this cycle was planned for does not answer (`nvidia-smi`).",
            "It is tried again by itself; `--cancel` ends it.",
        )
    return "cuda"


def serves_here(cycle: Cycle, devices: Sequence[Device]) -> bool:
    """Whether the server may use this machine's GPUs."""
    gpu = any(device.kind == "cuda" for device in devices)
    return gpu and not cycle.request.engine and _is_local(cycle.request.server)


def _never_fits(base: BaseModel, device: Device) -> bool:
    """Whether a device could not hold the base in 16 bits even if it were empty.

    Only then are four enough to be placed there.
    """
    return needed_bytes(base, device) > device.total


def as_devices(placement: Placement) -> tuple[Device, ...]:
    """The devices as the plan sees them: what is free is all there is."""
    kind: Literal["cpu", "cuda"] = "cuda" if placement.gpus else "cpu"
    return tuple(
        Device(kind, placement.name, placement.free, placement.free, placement.bf16, index=n)
        for n in range(max(1, len(placement.gpus)))
    )


@contextmanager
def make_room(cycle: Cycle, placement: Placement) -> Iterator[Callable[[], bool]]:
    """Make room and keep it; the function yielded says whether a request waits for the device.

    Raises Deferred if the server or the driver does not let go of the memory.
    """
    run = cycle.run
    run.write(run.placement, placement)
    run.journal(cycle.clock(), "train", "placed", on=placement.name, because=placement.reason)
    with holding(cycle.paths.hold, BUSY) if placement.holds_requests else nullcontext():
        if placement.unload:
            small = run.plan.exists() and read_plan(run.path).hardware.four_bit
            device = as_devices(placement)[0]
            _unload(cycle)
            _wait_until_free(placement, needed_bytes(read_base(cycle.base), device, four_bit=small))
            run.journal(cycle.clock(), "train", "unloaded", models=", ".join(placement.unload))
        began = time.time()

        def needed() -> bool:
            asked_since = _quiet(cycle) < min(1.0, time.time() - began)
            return placement.holds_requests and asked_since and _may_give_way(cycle)

        yield needed


def giving_way(cycle: Cycle, step: str) -> Wait:
    """The wait of a step before each question or text, as long as requests are answered.

    All waits together last `idle.longest_pause` at most. The first one is in the journal.
    """
    left, lock, noted = cycle.settings.idle.longest_pause * 60, threading.Lock(), False

    def wait(stop: Stop) -> None:
        nonlocal left, noted
        with lock:
            while left > 0 and _quiet(cycle) < cycle.settings.idle.quiet:
                if not noted:
                    cycle.run.journal(cycle.clock(), step, WAITS)
                    noted = True
                stop()
                cycle.go_on()
                began = time.monotonic()
                time.sleep(LOOK_SECONDS)
                left -= time.monotonic() - began

    return wait


def give_way(cycle: Cycle) -> NoReturn:
    """Note that a request waits for the GPU, and raise Deferred."""
    cycle.run.journal(cycle.clock(), "train", GAVE_WAY)
    raise Deferred(
        "The GPU is needed to answer requests.", "The training goes on when it is quiet."
    )


def _may_give_way(cycle: Cycle) -> bool:
    """Whether the first time that the GPU went back is not too long ago."""
    times = (float(line["ts"]) for line in cycle.run.history() if line.get("state") == GAVE_WAY)
    first = next(times, None)
    return first is None or cycle.clock() - first < cycle.settings.idle.longest_pause * 60


def _quiet(cycle: Cycle) -> float:
    """Seconds since requests were last answered."""
    return quiet_for(cycle.paths.activity, cycle.clock())


def _unload(cycle: Cycle) -> None:
    """Unload everything that the server has on a GPU, even if it was loaded past the gateway.

    Raises Deferred if that takes too long.
    """
    deadline = time.monotonic() + UNLOAD_SECONDS
    while models := [m.name for m in cycle.server.in_memory() if m.on_gpu]:
        if time.monotonic() > deadline:
            raise Deferred(
                f"The server did not let go of {', '.join(models)}: it is still answering.",
                "It is tried again by itself.",
            )
        for name in models:
            cycle.server.unload(name)
        time.sleep(LOOK_SECONDS)


def _wait_until_free(placement: Placement, need: int) -> None:
    """Wait until the driver counts `need` bytes as free. Raises Deferred if that takes too long."""
    deadline = time.monotonic() + FREE_SECONDS
    while (gpu := find_gpu(placement.gpus[0])) is None or gpu.free < need:
        if time.monotonic() > deadline:
            state = (
                "does not answer"
                if gpu is None
                else f"has {gpu.free / 2**30:.1f} GiB free and needs {need / 2**30:.1f}"
            )
            raise Deferred(
                f"The server's models are unloaded, but {placement.name} {state}.",
                "It is tried again by itself; close what else uses it.",
            )
        time.sleep(LOOK_SECONDS)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
