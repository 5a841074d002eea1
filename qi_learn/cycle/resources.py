"""Where a cycle trains, looked at anew whenever its training starts; room is made there for as long
as it lasts, and given back whatever happens.

Only where one GPU must do both, the server's models are unloaded and requests wait at the gateway
(rundir/activity.py). Somebody who waits there is not left waiting: the worker saves its state, the
GPU goes back, and the cycle is tried again later, for `idle.longest_pause` from the first time on;
then requests wait `idle.longest_hold` and are told so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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
"""How long the server may take to let go of its models: it finishes the answers under way."""
FREE_SECONDS = 15.0
"""How long the driver may take to count the memory as free."""
LOOK_SECONDS = 0.2
BUSY = "The only GPU is training, and has no room for this model meanwhile. `qi-learn status` shows how far it is, `qi-learn train --cancel` ends it."
GAVE_WAY = "gave way"
WAITS = "waits between its questions while requests are answered"


def find_place(cycle: Cycle, plan: Plan | None = None) -> Placement:
    """Where the cycle trains, given what is free now; for a plan that is made already (with what it
    has given up since), on the kind of device it is for.

    Raises Deferred where that has to wait, Refused where it never can be, ServerError.
    """
    base, settings = read_base(cycle.base), cycle.settings
    devices = find_devices()
    here = (
        any(d.kind == "cuda" for d in devices)
        and not cycle.request.engine
        and _is_local(cycle.request.server)
    )
    wish = (
        settings.train.device
        if plan is None
        else "cuda"
        if plan.hardware.device.startswith("cuda")
        else "cpu"
    )
    if plan is not None and wish == "cuda" and not any(d.kind == "cuda" for d in devices):
        raise Deferred(
            "The GPU that this cycle was planned for does not answer (`nvidia-smi`).",
            "It is tried again by itself; `--cancel` ends it.",
        )
    small = (
        plan.hardware.four_bit
        if plan
        else look_into(settings.train.python, LOOKED_FOR).usable("bitsandbytes")
    )
    found = place_training(
        devices,
        wish=wish,
        need=lambda device: needed_bytes(
            base,
            device,
            four_bit=small and _never_fits(base, device) and may_be_small(base, device, devices),
        ),
        served=int(SERVED * cycle.base.stat().st_size) if here else 0,
        loaded=cycle.server.in_memory() if here else (),
        held=held_by_server() if here else {},
    )
    if plan is not None and found.device == "cpu":
        found = replace(found, reason="the cycle is planned for it")
    if found.holds_requests and _may_give_way(cycle) and _quiet(cycle) < settings.idle.quiet:
        give_way(cycle)
    if found.device == "cpu" or found.serves in found.gpus:
        found = replace(
            found,
            activity=str(cycle.paths.activity),
            quiet_seconds=settings.idle.quiet,
            longest_pause=settings.idle.longest_pause * 60,
        )
    return found


def _never_fits(base: BaseModel, device: Device) -> bool:
    """Whether a device could not hold the base in 16 bits if it were empty: only then are four
    enough to be placed there.
    """
    return needed_bytes(base, device) > device.total


def as_devices(placement: Placement) -> tuple[Device, ...]:
    """The place as the plan sees it: what is free there is all there is."""
    kind: Literal["cpu", "cuda"] = "cuda" if placement.gpus else "cpu"
    return tuple(
        Device(kind, placement.name, placement.free, placement.free, placement.bf16, index=n)
        for n in range(max(1, len(placement.gpus)))
    )


@contextmanager
def room(cycle: Cycle, placement: Placement) -> Iterator[Callable[[], bool]]:
    """Makes room and keeps it; what it yields says whether somebody waits to whom the place should
    be given back.

    Raises Deferred where the server or the driver does not let go of the memory.
    """
    run = cycle.run
    small = run.plan.exists() and read_plan(run.path).hardware.four_bit
    run.write(run.placement, placement)
    run.journal(cycle.clock(), "train", "placed", on=placement.name, because=placement.reason)
    with holding(cycle.paths.hold, BUSY) if placement.holds_requests else nullcontext():
        if placement.unload:
            _unload(cycle)
            _wait_until_free(
                placement,
                needed_bytes(read_base(cycle.base), as_devices(placement)[0], four_bit=small),
            )
            run.journal(cycle.clock(), "train", "unloaded", models=", ".join(placement.unload))
        began = time.time()
        yield (
            lambda: (
                placement.holds_requests
                and _quiet(cycle) < min(1.0, time.time() - began)
                and _may_give_way(cycle)
            )
        )


def giving_way(cycle: Cycle) -> Wait:
    """The gate's wait before each question: while requests are answered, `idle.longest_pause` at
    most in all. The first one is in the journal.
    """
    left, turn, told = cycle.settings.idle.longest_pause * 60, threading.Lock(), False

    def wait(stop: Stop) -> None:
        nonlocal left, told
        with turn:
            while left > 0 and _quiet(cycle) < cycle.settings.idle.quiet:
                if not told:
                    cycle.run.journal(cycle.clock(), "gate", WAITS)
                    told = True
                stop()
                cycle.go_on()
                began = time.monotonic()
                time.sleep(LOOK_SECONDS)
                left -= time.monotonic() - began

    return wait


def give_way(cycle: Cycle) -> NoReturn:
    """Somebody waits for the GPU. Raises Deferred."""
    cycle.run.journal(cycle.clock(), "train", GAVE_WAY)
    raise Deferred(
        "The GPU is needed to answer requests.", "The training goes on when it is quiet."
    )


def _may_give_way(cycle: Cycle) -> bool:
    first = next(
        (float(line["ts"]) for line in cycle.run.history() if line.get("state") == GAVE_WAY), None
    )
    return first is None or cycle.clock() - first < cycle.settings.idle.longest_pause * 60


def _quiet(cycle: Cycle) -> float:
    return quiet_for(cycle.paths.activity, cycle.clock())


def _unload(cycle: Cycle) -> None:
    """Everything the server has on a GPU, also what somebody loads meanwhile past the gateway."""
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
    deadline = time.monotonic() + FREE_SECONDS
    while (gpu := find_gpu(placement.gpus[0])) is None or gpu.free < need:
        if time.monotonic() > deadline:
            had = (
                "does not answer"
                if gpu is None
                else f"has {gpu.free / 2**30:.1f} GiB free and needs {need / 2**30:.1f}"
            )
            raise Deferred(
                f"The server's models are unloaded, but {placement.name} {had}.",
                "It is tried again by itself; close what else uses it.",
            )
        time.sleep(LOOK_SECONDS)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
