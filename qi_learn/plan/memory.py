"""What fits into a device's memory, and what is given up if something does not.

First sequences at a time (the optimiser's steps stay the same), then the activations (each layer is
computed twice), then the precision of the frozen base (four bits, on a GPU). Estimates, on the safe
side: if one is wrong all the same, `fallback.py` gives up the next thing while the run is under
way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.errors import Refused
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.gpu import Device
from qi_learn.plan.base_model import BaseModel

AT_ONCE = (8, 4, 2, 1)
"""Sequences in one pass, the most that memory allows; the loop passes fewer if their lengths differ
(`schedule.balanced`).
"""
MEMORY_SHARE = 0.6
"""Of what the weights leave free, for activations."""
SPARE = 1.25
"""Free memory over weights, at least, for a device to be tried at all."""
FOUR_BIT = 0.53
"""Bytes per weight in NF4 with scales that are quantised themselves: 4 bits, and 0.127 for the
scales.
"""


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """How a base is held and trained within a device's memory."""

    batch_size: int
    gradient_checkpointing: bool


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """The device that trains, and whether the frozen base has to be held in four bits there."""

    device: Device
    four_bit: bool
    devices: tuple[str, ...] = ()
    """All GPUs of the kind that have room, `device` first, if there is more than one.

    The training is split over them.
    """


def choose_device(
    wish: str, devices: Sequence[Device], base: BaseModel, *, four_bit: bool
) -> DeviceChoice:
    """The first device that the wish allows and that has room for the weights, GPUs before the CPU.

    If `four_bit` says that the interpreter can do it, a GPU may also hold them in four bits.

    Raises Refused if there is none.
    """
    allowed = [d for d in devices if wish in ("auto", d.kind)]
    for device in allowed:
        try_small = four_bit and may_be_small(base, device, devices)
        for small in (False, True) if try_small else (False,):
            if (needed := needed_bytes(base, device, four_bit=small)) <= device.free:
                return DeviceChoice(device, small, _alike(device, allowed, needed))
    if not allowed:
        raise Refused(
            f"train.device is `{wish}`, and this machine has none.",
            'Set `train.device = "auto"`, or install the GPU\'s driver (`nvidia-smi` must answer).',
        )
    had = "; ".join(
        f"{d.torch_name} has {d.free / 2**30:.1f} GiB free and needs "
        f"{needed_bytes(base, d) / 2**30:.1f}"
        for d in allowed
    )
    raise Refused(
        f"No device has the memory to train this base: {had}.",
        "Close what else uses it (models loaded in Ollama), or take a smaller base.",
    )


def may_be_small(base: BaseModel, device: Device, devices: Sequence[Device]) -> bool:
    """Whether a device can hold this base in four bits.

    It must be a GPU, and the computer must have the memory to read the base in 16 bits (if its
    memory is known), to put it there bit by bit.
    """
    memory = next((d.free for d in devices if d.kind == "cpu"), None)
    return (
        device.kind == "cuda"
        and device.bf16
        and (memory is None or SPARE * 2 * base.parameters <= memory)
    )


def needed_bytes(base: BaseModel, device: Device, *, four_bit: bool = False) -> int:
    """What a device must have free to train this base at all."""
    return int(SPARE * weight_bytes(base, device, four_bit=four_bit))


def _alike(device: Device, devices: Sequence[Device], needed: float) -> tuple[str, ...]:
    """This GPU and those like it that have room too; none if it is alone.

    Unlike ones would wait for each other.
    """
    alike = [
        d.torch_name
        for d in devices
        if d.kind == "cuda" and d.name == device.name and needed <= d.free
    ]
    return tuple(alike) if len(alike) > 1 else ()


def weight_bytes(base: BaseModel, device: Device, *, four_bit: bool = False) -> int:
    """Bytes of the weights in memory: float32 as loaded on a CPU, the plan's precision on a GPU.

    With `four_bit` the linear modules of the layers are held in four bits.
    """
    each = 2 if device.kind == "cuda" and device.bf16 else 4
    linear = sum(
        t.elements
        for t in base.tensors
        if t.name.removesuffix(".weight").rpartition(".")[2] in GGUF_NAMES.values()
    )
    return int((base.parameters - linear) * each + linear * (FOUR_BIT if four_bit else each))


def fit_memory(base: BaseModel, chosen: DeviceChoice, first: int, longest: int) -> MemoryFit:
    """The most sequences of `longest` tokens at a time with every activation kept.

    If not even one fits, with layers computed twice. What a token keeps for the backward pass:
    about 16 vectors of the hidden and 4 of the inner width per layer (2 bytes each in bfloat16), or
    one vector per layer and all of them for the layer whose turn it is.
    """
    device = chosen.device
    layer = 16 * base.hidden + 4 * base.feed_forward
    layers = base.layers - first
    room = (
        MEMORY_SHARE
        * (device.free - weight_bytes(base, device, four_bit=chosen.four_bit))
        / (2 if device.bf16 else 4)
    )
    for twice, token in ((False, layers * layer), (True, layers * base.hidden + layer)):
        for size in AT_ONCE:
            if size * longest * token <= room:
                return MemoryFit(size, twice)
    return MemoryFit(1, True)
