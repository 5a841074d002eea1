"""How busy the GPUs are on which a cycle under way trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qi_learn import codec
from qi_learn.record_class import dataclass
from qi_learn.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from qi_learn.records import Placement


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A GPU that trains, as nvidia-smi shows it.

    Memory is in bytes. The share of time that it computed lately is there if it is known.
    """

    name: str
    busy: float | None
    used: int
    total: int


def placement_of(run: RunDirectory) -> Placement | None:
    """The devices on which the run's training last started.

    None before it has, or if the file is damaged.
    """
    from qi_learn.records import Placement

    try:
        return codec.loads(Placement, run.placement.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def gpu_use(run: RunDirectory) -> tuple[GpuUse, ...]:
    """Every GPU that the run trains on.

    There are none if it trains on the CPU, or the driver does not answer.
    """
    placement = placement_of(run)
    if placement is None or not placement.gpus:
        return ()
    from qi_learn.outside.gpu import find_devices  # only while something trains

    by_uuid = {gpu.uuid: gpu for gpu in find_devices()}  # one question to the driver for all
    gpus = (by_uuid[uuid] for uuid in placement.gpus if uuid in by_uuid)
    return tuple(GpuUse(gpu.name, gpu.busy, gpu.total - gpu.free, gpu.total) for gpu in gpus)


def gpu_text(gpu: GpuUse) -> str:
    """A GPU in a line: `NVIDIA A100: 97 % busy, 41.2 of 80.0 GiB`."""
    busy = "" if gpu.busy is None else f"{gpu.busy:.0%} busy, ".replace("%", " %")
    return f"{gpu.name}: {busy}{gpu.used / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB"
