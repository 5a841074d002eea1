"""What is to be seen of a cycle under way: how far its training is, and how busy the GPU is on
which it trains.
"""

from __future__ import annotations

from dataclasses import dataclass

from qi_learn import codec
from qi_learn.outside.gpu import find_devices
from qi_learn.records import Placement
from qi_learn.rundir.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class GpuUse:
    """The GPU that trains, as nvidia-smi shows it: memory in bytes, and the share of time it
    computed lately where that is known.
    """

    name: str
    busy: float | None
    used: int
    total: int


def placement_of(run: RunDirectory) -> Placement | None:
    """Where its training last started; None before it has, or where the file is damaged."""
    try:
        return codec.loads(Placement, run.placement.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def gpu_use(run: RunDirectory) -> tuple[GpuUse, ...]:
    """Every GPU that it trains on; none where it trains on the CPU, or the driver does not answer."""
    placement = placement_of(run)
    if placement is None or not placement.gpus:
        return ()
    seen = {gpu.uuid: gpu for gpu in find_devices()}  # one question to the driver for all of them
    found = (seen[uuid] for uuid in placement.gpus if uuid in seen)
    return tuple(GpuUse(gpu.name, gpu.busy, gpu.total - gpu.free, gpu.total) for gpu in found)


def gpu_text(gpu: GpuUse) -> str:
    """`NVIDIA A100: 97 % busy, 41.2 of 80.0 GiB`."""
    busy = "" if gpu.busy is None else f"{gpu.busy:.0%} busy, ".replace("%", " %")
    return f"{gpu.name}: {busy}{gpu.used / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB"
