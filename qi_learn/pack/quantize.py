"""A changed tensor into ggml blocks, and how much of the change survives it.

Small changes die in few bits. Quantising rounds each weight to a grid. Weights that already lie on
that grid (because they came out of a Q4 file) are rounded back to their old values, and about 1 %
of the change is kept. Weights in full precision are rounded up as often as down, and the change is
kept on average. So the type of a touched tensor is the base's own if full-precision weights are at
hand, Q8_0 or better if not, and it is raised step by step until the kept share, measured on a
sample of the tensor, reaches 0.8. What was kept of the whole tensor is reported as `TensorGain`:

    intended = s B A
    realised = (what the packed file says) - (what the base file says)
    gain = <realised, intended> / <intended, intended>
    cosine = <realised, intended> / (|realised| |intended|)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qi_learn.outside.ggml import can_quantize, dequantize, quantize
from qi_learn.outside.ggml_types import row_bytes, type_sizes
from qi_learn.outside.gguf import Tensor
from qi_learn.pack.base_weights import BaseRows, Rows
from qi_learn.pack.join import TensorChange
from qi_learn.records import TensorGain

ENOUGH = 0.8
BLOCK = 1 << 17
"""Elements worked on at a time: 0.5 MB in float32, so a few copies stay in a core's cache and their
memory is used again (with 4 MB each the kernel gave and took it every time: five times the system
time, measured).
"""
PIECES, SAMPLE = 8, 1 << 18
"""The number of pieces, spread over the tensor, that a type is chosen on, and their elements
together: the gain of a change of 0.3 % is then known to about 0.03.
"""
_RAISED = ("Q6_K", "Q8_0", "F16", "F32")


@dataclass(frozen=True, slots=True)
class Kept:
    """Sums over some rows, which add up to those of the whole tensor."""

    both: float = 0.0
    """<realised, intended>"""
    intended: float = 0.0
    realised: float = 0.0

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            self.both + other.both, self.intended + other.intended, self.realised + other.realised
        )

    @property
    def gain(self) -> float:
        """The share of the change that is kept: 1.0 is all of it."""
        return self.both / self.intended if self.intended else 1.0

    @property
    def cosine(self) -> float:
        """The cosine between the realised and the intended change."""
        size = (self.intended * self.realised) ** 0.5
        return self.both / size if size else 0.0

    def report(self, tensor: Tensor, type_after: str) -> TensorGain:
        """The record of one tensor."""
        size = row_bytes(type_after, tensor.columns) * tensor.rows
        return TensorGain(
            tensor.name, tensor.type, type_after, round(self.gain, 4), round(self.cosine, 4), size
        )


def choose_type(change: TensorChange, base: BaseRows, exact: Rows | None) -> str:
    """The type to write a changed tensor in.

    It is the first of `candidates` that keeps 0.8 of the change on a sample, else the last.
    """
    kinds = candidates(change.slot.tensor, full_precision=exact is not None)
    for kind in kinds[:-1]:
        kept = Kept()
        for start, stop in sample(change):
            kept += write_rows(change, base, exact, start, stop, kind)[1]
        if kept.gain >= ENOUGH:
            return kind
    return kinds[-1]


def candidates(tensor: Tensor, *, full_precision: bool) -> tuple[str, ...]:
    """The types to try for a tensor, narrowest first.

    A K-quant is left out if its blocks of 256 do not fit the row (so Q8_0 follows). With
    full-precision weights the base's own type comes first (Q4_K in place of one that needs an
    importance matrix); without, nothing below Q8_0 is tried.
    """
    own = tensor.type
    first = own
    if full_precision and not can_quantize(own, tensor.columns):
        first = "Q4_K"
    elif not full_precision and _bits(own) < _bits("Q8_0"):
        first = "Q8_0"
    wider = [kind for kind in _RAISED if _bits(kind) > _bits(first)]
    return tuple(kind for kind in (first, *wider) if can_quantize(kind, tensor.columns))


def write_rows(
    change: TensorChange, base: BaseRows, exact: Rows | None, start: int, stop: int, kind: str
) -> tuple[NDArray[np.uint8], Kept]:
    """The changed rows [start, stop) as bytes of type `kind`, and what they keep of the change.

    There is one row of bytes for each. Without full-precision weights (`exact` is None) the change
    is put on the base's own dequantised rows.
    """
    intended = change.rows(start, stop)
    before = base.read(change.slot.tensor, start, stop)
    weights = (
        before.copy() if exact is None else exact.rows(change.module, change.slot, start, stop)
    )
    weights += intended
    raw = quantize(weights, kind)
    realised = dequantize(raw, kind, intended.shape)
    realised -= before
    return raw, Kept(_dot(realised, intended), _dot(intended, intended), _dot(realised, realised))


def blocks(change: TensorChange, elements: int = BLOCK) -> Iterator[tuple[int, int]]:
    """The tensor's rows in ranges of about `elements` numbers, always of whole heads."""
    tensor, unit = change.slot.tensor, change.slot.head_rows
    step = max(1, elements // tensor.columns // unit) * unit
    for start in range(0, tensor.rows, step):
        yield start, min(start + step, tensor.rows)


def sample(change: TensorChange) -> list[tuple[int, int]]:
    """Up to `PIECES` row ranges, evenly spread; all ranges of a small tensor."""
    pieces = list(blocks(change, SAMPLE // PIECES))
    if len(pieces) <= PIECES:
        return pieces
    return [pieces[i * len(pieces) // PIECES] for i in range(PIECES)]


def _bits(kind: str) -> float:
    """Bits of one element."""
    block, size = type_sizes()[kind]
    return 8 * size / block


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.vdot(a, b))
