"""Which part of a base a training changes, and what that costs the packed model in speed.

Without full-precision weights the touched tensors are written in a larger type than the base has
them in (Q8_0), so the packed model reads more bytes per token: as many layers change as that leaves
the model fast enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.ggml_types import row_bytes
from qi_learn.outside.gpu import Device
from qi_learn.plan.base_model import BaseModel, BaseTensor
from qi_learn.settings import HIGHEST_RANK

BYTES_LIMIT = 1.4
"""Bytes read per token of the packed model, at most so many times the base's."""
RAISED_TYPE = "Q8_0"
"""What touched tensors are written as if there are no full-precision weights."""


@dataclass(frozen=True, slots=True)
class TouchedLayers:
    """The part of a base that changes: some modules of its layers from `first` up."""

    base: BaseModel
    first: int
    targets: tuple[str, ...]
    served: frozenset[str]
    """Tensors that the served adapter changed: they keep their raised types, whatever this cycle
    trains.
    """
    raised: bool
    """Touched tensors are raised in type: there are no full-precision weights."""

    @property
    def count(self) -> int:
        return self.base.layers - self.first

    @property
    def bytes_ratio(self) -> float:
        """Bytes read per token of the packed model over the base's."""
        if not self.raised:
            return 1.0
        touched = self.served | {
            f"blk.{layer}.{GGUF_NAMES[name]}.weight"
            for layer in range(self.first, self.base.layers)
            for name in self.targets
        }
        grown = sum(
            max(0, _raised_bytes(t) - t.bytes) for t in self.base.tensors if t.name in touched
        )
        return (self.base.bytes_per_token + grown) / self.base.bytes_per_token

    @property
    def highest_rank(self) -> int:
        """Rows or columns of the smallest matrix that changes: no change has a higher rank."""
        ends = tuple(f".{GGUF_NAMES[name]}.weight" for name in self.targets)
        sides = (min(t.shape) for t in self.base.tensors if t.name.endswith(ends))
        return min(sides, default=HIGHEST_RANK)


def choose_layers(
    base: BaseModel,
    device: Device,
    targets: tuple[str, ...],
    *,
    served: frozenset[str],
    raised: bool,
) -> TouchedLayers:
    """The layers that change: the last third on a CPU, all on a GPU.

    Fewer if raised types would make the packed model slow.
    """
    first = base.layers - math.ceil(base.layers / 3) if device.kind == "cpu" else 0
    layers = TouchedLayers(base, first, targets, served, raised)
    while layers.first < base.layers - 1 and layers.bytes_ratio > BYTES_LIMIT:
        layers = replace(layers, first=layers.first + 1)
    return layers


def served_tensors(adapter: Path | None) -> frozenset[str]:
    """The tensors of the GGUF that the served adapter changed.

    Empty if the file cannot be read here; the worker, which needs it, reports that.
    """
    if adapter is None:
        return frozenset()
    # comes with the extras; `explain` imports this module without them
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter, framework="numpy") as file:
            modules = [
                name.removesuffix(".A").split(".")
                for name in file.keys()  # noqa: SIM118 - not a mapping
                if name.endswith(".A")
            ]
    except (OSError, SafetensorError):
        return frozenset()
    return frozenset(
        f"blk.{m[2]}.{GGUF_NAMES[m[-1]]}.weight"
        for m in modules
        if m[:2] == ["model", "layers"] and m[-1] in GGUF_NAMES
    )


def _raised_bytes(tensor: BaseTensor) -> int:
    rows, columns = tensor.shape
    return rows * row_bytes(RAISED_TYPE if columns % 32 == 0 else "F16", columns)
