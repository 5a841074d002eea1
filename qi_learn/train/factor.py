"""One side of a Kronecker-factored Fisher: a symmetric, non-negative matrix F of width d, summed up over a stream of vectors.

Three forms, by what it costs to keep: the whole matrix (d, d); its diagonal (d,); and for wide modules a *sketch*, F Omega (d, k) with a fixed random Omega,
beside the diagonal. Every form is linear in F, so sums and averages over cycles are exact sums and averages of what is stored. A sketch is read back
as the Nystroem approximation Y (Omega^T Y)^+ Y^T, which never exceeds F, with the diagonal that is missing put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

FULL_WIDTH = 2048
"""Widest matrix kept whole: 16 MB in float32."""
SKETCH = 64
"""Columns of a sketch."""
Form = Literal["kfac", "diagonal"]


def omega(width: int) -> Tensor:
    """The random matrix (d, k) of every sketch of this width: the same in every cycle and version (NumPy freezes RandomState's stream)."""
    return torch.from_numpy(np.random.RandomState(width).standard_normal((width, SKETCH)).astype(np.float32))


@dataclass(frozen=True)
class Factor:
    """F in one of its forms: `matrix` (d, d) alone, `diagonal` (d,) alone, or `matrix` = F Omega (d, k) with `diagonal`."""

    matrix: Tensor | None = None
    diagonal: Tensor | None = None

    @classmethod
    def of_parts(cls, parts: Mapping[str, Tensor]) -> Factor:
        """What `parts` gave."""
        if "triangle" not in parts:
            return cls(parts.get("matrix"), parts.get("diagonal"))
        packed = parts["triangle"]
        width = int((2 * len(packed) + 0.25) ** 0.5)
        matrix = packed.new_zeros(width, width)
        rows, columns = torch.tril_indices(width, width)
        matrix[rows, columns] = packed
        matrix[columns, rows] = packed
        return cls(matrix)

    def parts(self) -> dict[str, Tensor]:
        """What is kept in a file: of a whole matrix only the lower triangle."""
        if self.matrix is not None and self.diagonal is None:
            rows, columns = torch.tril_indices(*self.matrix.shape)
            return {"triangle": self.matrix[rows, columns]}
        return {name: part for name, part in (("matrix", self.matrix), ("diagonal", self.diagonal)) if part is not None}

    def times(self, other: Tensor) -> Tensor:
        """F @ other, for `other` (d, r)."""
        if self.matrix is None:
            return _some(self.diagonal)[:, None] * other
        if self.diagonal is None:
            return self.matrix @ other
        low, rest = self._nystroem
        return low @ (low.T @ other) + rest[:, None] * other

    def combined(self, own: float, other: Factor, weight: float) -> Factor:
        """own * self + weight * other. Raises ValueError where their forms or widths differ."""
        if self.shapes != other.shapes:
            raise ValueError(f"factors of different forms: {self.shapes} and {other.shapes}")
        parts = zip((self.matrix, self.diagonal), (other.matrix, other.diagonal), strict=True)
        return Factor(*(None if a is None or b is None else own * a + weight * b for a, b in parts))

    @property
    def shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(None if part is None else tuple(part.shape) for part in (self.matrix, self.diagonal))

    @property
    def width(self) -> int:
        return len(_some(self.matrix if self.matrix is not None else self.diagonal))

    @property
    def trace(self) -> float:
        """Sum of the diagonal, which is the size of the whole."""
        return float(self.diagonal.sum() if self.diagonal is not None else _some(self.matrix).diagonal().sum())

    def to(self, device: torch.device, dtype: torch.dtype) -> Factor:
        return Factor(*(None if part is None else part.to(device, dtype) for part in (self.matrix, self.diagonal)))

    @cached_property
    def _nystroem(self) -> tuple[Tensor, Tensor]:
        """U (d, k) with U U^T <= F, and the diagonal of what is left, in the sketch's own precision."""
        sketch = _some(self.matrix).double()
        core = omega(len(sketch)).to(sketch).T @ sketch
        values, vectors = torch.linalg.eigh((core + core.T) / 2)
        kept = values > values[-1].clamp(min=0) * 1e-6
        low = sketch @ (vectors[:, kept] * values[kept].rsqrt())
        rest = (_some(self.diagonal).double() - low.square().sum(1)).clamp(min=0)
        return low.to(_some(self.matrix).dtype), rest.to(_some(self.matrix).dtype)


class FactorSum:
    """Sums v v^T over vectors as they come, in the form that fits their width; products in the vectors' own precision, sums in float32 or better."""

    def __init__(self, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self._high = torch.promote_types(dtype, torch.float32)
        self._whole = width <= FULL_WIDTH
        self._matrix = torch.zeros(width, width if self._whole else SKETCH, device=device, dtype=self._high)
        self._diagonal = None if self._whole else torch.zeros(width, device=device, dtype=self._high)
        self._omega = None if self._whole else omega(width).to(device=device, dtype=dtype)

    def add(self, vectors: Tensor) -> None:
        """Takes in the rows of `vectors` (n, d)."""
        if self._omega is None:
            self._matrix += (vectors.T @ vectors).to(self._high)
        else:
            self._matrix += (vectors.T @ (vectors @ self._omega)).to(self._high)
            _some(self._diagonal).add_(vectors.to(self._high).square().sum(0))

    def factor(self, count: float) -> Factor:
        """The sum divided by `count`, on the CPU, symmetric to the last bit. It is divided in place, being large: the sum is used up."""
        if self._diagonal is None:
            return Factor((self._matrix + self._matrix.T).div_(2 * count).cpu())
        return Factor(self._matrix.div_(count).cpu(), self._diagonal.div_(count).cpu())


def _some(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("a factor has no part to compute with")
    return value
