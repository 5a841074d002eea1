"""On what the gate reads files, and when.

On the GPU, if this llama.cpp can use one, `train.device` allows it, and every visible GPU has room
for the largest file beside what the server may still load: nothing is unloaded for a gate, which
is short. Else on the CPU. All files of one gate are read on the same device, so that their numbers
can be paired.

Between two texts it waits while requests are answered (`resources.giving_way`), and ends if the
cycle was cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qi_learn.cycle.context import Cycle
from qi_learn.cycle.resources import serves_here
from qi_learn.gate.read_files import ReadingDevice
from qi_learn.outside.gpu import Device, find_devices, held_by_server
from qi_learn.outside.llama_cpp_library import can_use_gpu
from qi_learn.outside.ollama_parallel import Wait
from qi_learn.plan.placement import SERVED

ALL_LAYERS = 999
"""More layers than any model has."""


def reading_device(cycle: Cycle, files: Iterable[Path], wait: Wait) -> ReadingDevice:
    """The device for these files, as the GPUs are now.

    `wait` returns when the next text may be read.
    """

    def pause() -> None:
        cycle.go_on()
        wait(cycle.go_on)

    return ReadingDevice(gpu_layers=_gpu_layers(cycle, tuple(files)), pause=pause)


def _gpu_layers(cycle: Cycle, files: tuple[Path, ...]) -> int:
    """The layers that go to the GPU: all or none."""
    if cycle.settings.train.device == "cpu" or not can_use_gpu():
        return 0
    devices = find_devices()
    gpus = [device for device in devices if device.kind == "cuda"]
    need = SERVED * max(file.stat().st_size for file in files)
    served = SERVED * cycle.base.stat().st_size if serves_here(cycle, devices) else 0
    return ALL_LAYERS if has_room(gpus, int(need), int(served), held_by_server()) else 0


def has_room(gpus: list[Device], need: int, served: int, held: dict[str, int]) -> bool:
    """Whether each of the GPUs has `need` bytes free, beside what the server may still load.

    `served`: bytes of the model that it serves; `held`: those that it holds of each GPU already.
    """
    return bool(gpus) and all(
        gpu.free - max(0, served - held.get(gpu.uuid, 0)) >= need for gpu in gpus
    )
