"""Joining two adapters into one, and the tensors of the base that an adapter changes.

An adapter is, for each touched module, two factors A (rank, in) and B (out, rank) with the scale
already in B, so the weight change is dW = B A and nothing else has to be known. A version is the
base plus one adapter: `join` puts a cycle's delta on top of the served adapter by laying the
factors side by side, which is exact, and cuts the rank by SVD only past a cap. dW itself is never
formed here.

The adapter's file: `rundir/adapter_file.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qi_learn.errors import ModelError
from qi_learn.outside.gguf import GgufFile
from qi_learn.pack.tensor_map import TensorSlot, find_slot, permute
from qi_learn.rundir.adapter_file import AGAIN, Adapter, Factors

LEAST_CAP = 64
"""A joined adapter is never cut below this rank."""
ROOM = 256 * 2**20
"""Bytes that a joined adapter may take."""


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor of the base and its change.

    `up` is (rows, rank) in the order of the GGUF file, `down` (rank, columns).
    """

    module: str
    slot: TensorSlot
    up: NDArray[np.float32]
    down: NDArray[np.float32]

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) of dW."""
        product: NDArray[np.float32] = self.up[start:stop] @ self.down
        return product


def rank_cap(adapter: Adapter, base_bytes: int) -> int:
    """The rank past which an adapter of the same modules is cut; never below `LEAST_CAP`.

    Past it the adapter would take more than `ROOM` bytes or more than the base's own file.

    A cut loses something at every update from there on, and every version's adapter is kept:
    SmolLM2-135M is cut after some 29 updates of rank 8, a 7B after 4 of rank 16.
    """
    rank_bytes: int = 4 * sum(
        len(factors.up) + factors.down.shape[1] for factors in adapter.modules.values()
    )
    return max(LEAST_CAP, min(base_bytes, ROOM) // max(1, rank_bytes))


def join(
    previous: Adapter | None, delta: Adapter, scale: float, *, rank_cap: int
) -> tuple[Adapter, float]:
    """`previous` + `scale` x `delta` as one adapter, and what cutting the rank cost.

    The cost is |dW - dW'| / |dW| over all modules (Frobenius). It is 0.0 if no module is past
    `rank_cap`: then the factors are only laid side by side. Raises ModelError if the two are not of
    the same base or shapes.
    """
    if previous is not None and previous.base != delta.base:
        raise ModelError(
            "the two adapters were trained on different bases",
            "Train the delta on the base of the served version.",
        )
    before: Mapping[str, Factors] = {} if previous is None else previous.modules
    joined: dict[str, Factors] = {}
    lost = total = 0.0
    for module in sorted(before.keys() | delta.modules.keys()):
        factors = _side_by_side(module, before.get(module), delta.modules.get(module), scale)
        total += _square(factors)
        if factors.rank > rank_cap:
            factors, cost = _cut(factors, rank_cap)
            lost += cost
        joined[module] = factors
    return Adapter(delta.base, joined), (lost / total) ** 0.5 if total else 0.0


def changed_tensors(
    adapter: Adapter, base: GgufFile, scale: float = 1.0
) -> tuple[TensorChange, ...]:
    """The tensors that `scale` x the adapter changes, in the order of the base's file.

    Modules with dW = 0 change nothing and are left out. Raises ModelError if a module has no tensor
    of its own, or one of another shape.
    """
    changes = [
        _change(base, module, factors, scale)
        for module, factors in adapter.modules.items()
        if scale and factors.up.any() and factors.down.any()
    ]
    if len({c.slot.tensor.name for c in changes}) < len(changes):
        raise ModelError("two modules of the adapter are the same tensor of the base", AGAIN)
    return tuple(sorted(changes, key=lambda c: c.slot.tensor.start))


def _change(base: GgufFile, module: str, factors: Factors, scale: float) -> TensorChange:
    slot = find_slot(base, module)
    shape = (factors.up.shape[0], factors.down.shape[1])
    if shape != (slot.tensor.rows, slot.tensor.columns):
        raise ModelError(
            f"the adapter's {module} is {shape}, {slot.tensor.name} is {slot.tensor.shape[::-1]}",
            "Use the base that it was trained on.",
        )
    up = permute(np.float32(scale) * factors.up, slot.head_rows)
    return TensorChange(module, slot, up, factors.down)


def _side_by_side(
    module: str, before: Factors | None, delta: Factors | None, scale: float
) -> Factors:
    """B A + s B' A' = [B, s B'] [A; A']."""
    if delta is None:
        assert before is not None
        return before
    scaled = Factors(np.float32(scale) * delta.up, delta.down)
    if before is None:
        return scaled
    if before.up.shape[0] != delta.up.shape[0] or before.down.shape[1] != delta.down.shape[1]:
        raise ModelError(
            f"the two adapters disagree about the shape of {module}",
            "Train the delta on the base of the served version.",
        )
    return Factors(np.hstack([before.up, scaled.up]), np.vstack([before.down, delta.down]))


def _square(factors: Factors) -> float:
    """|B A|^2 = <B^T B, A A^T>."""
    up, down = factors.up.astype(np.float64), factors.down.astype(np.float64)
    return float(np.vdot(up.T @ up, down @ down.T))


def _cut(factors: Factors, rank: int) -> tuple[Factors, float]:
    """The best approximation of this rank, and the square of what is lost (Frobenius).

    The size of the approximation is shared between the factors. B = Qb Rb, A^T = Qa Ra, and the SVD
    of the small Rb Ra^T: O((out + in) rank^2).
    """
    left, small_left = np.linalg.qr(factors.up.astype(np.float64))
    right, small_right = np.linalg.qr(factors.down.astype(np.float64).T)
    u, values, vt = np.linalg.svd(small_left @ small_right.T, full_matrices=False)
    root = np.sqrt(values[:rank])
    up = (left @ u)[:, :rank] * root
    down = root[:, None] * (vt @ right.T)[:rank]
    lost = float(np.sum(values[rank:] ** 2))
    return Factors(up.astype(np.float32), down.astype(np.float32)), lost
