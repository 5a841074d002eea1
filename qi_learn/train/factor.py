"""One side of a Kronecker-factored Fisher: a symmetric, non-negative matrix F of width d.

F is summed over a stream of vectors. Three forms, by what it costs to keep: the whole matrix (d,
d), its diagonal (d,), and for wide modules a *sketch*, F Omega (d, k) with a fixed random Omega,
beside the diagonal. Every form is linear in F, so sums and averages over cycles are exact sums and
averages of what is stored. A sketch is read back as the Nystroem approximation Y (Omega^T Y)^+ Y^T,
which never exceeds F, with the missing diagonal put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

FULL_WIDTH = 2048
"""Width of the widest matrix that is kept whole: 16 MB in float32."""
SKETCH = 64
"""Columns of a sketch."""
STEPS = 2**15 - 1
"""The number for a correlation of 1 in a file."""
ROUNDING = 1e-3
"""Share by which correlations are kept smaller. Rounding moves the eigenvalues of a correlation
matrix by up to 2e-5 sqrt(d), 8e-4 at the widest: so none becomes negative, and no direction is
rewarded for moving.
"""
Form = Literal["kfac", "diagonal"]


def omega(width: int) -> Tensor:
    """The random matrix (d, k) of every sketch of this width.

    It is the same in every cycle and version: NumPy freezes RandomState's stream.
    """
    numbers = np.random.RandomState(width).standard_normal((width, SKETCH))
    return torch.from_numpy(numbers.astype(np.float32))


@dataclass(frozen=True)
class Factor:
    """F in one of its forms.

    `matrix` (d, d) alone, `diagonal` (d,) alone, or `matrix` = F Omega (d, k) with `diagonal`.
    """

    matrix: Tensor | None = None
    diagonal: Tensor | None = None

    @classmethod
    def of_parts(cls, parts: Mapping[str, Tensor]) -> Factor:
        """The factor of these parts, to within `ROUNDING`."""
        if "correlation" in parts:
            variance = parts["variance"]
            matrix = _symmetric(parts["correlation"].to(variance.dtype) / STEPS, len(variance))
            size = variance.sqrt()
            return cls(matrix.fill_diagonal_(1.0).mul_(torch.outer(size, size)))
        if "triangle" in parts:  # older files keep whole matrices like this
            width = int((2 * len(parts["triangle"]) + 0.25) ** 0.5)
            return cls(_symmetric(parts["triangle"], width))
        return cls(parts.get("matrix"), parts.get("diagonal"))

    def parts(self) -> dict[str, Tensor]:
        """The tensors that a file keeps.

        Of a whole matrix these are its diagonal and, below it, the correlations as 16-bit fixed
        point numbers, a quarter of its size.
        """
        if self.matrix is None or self.diagonal is not None:
            return {
                name: part
                for name, part in (("matrix", self.matrix), ("diagonal", self.diagonal))
                if part is not None
            }
        variance = self.matrix.diagonal().clamp(min=0)
        inverse = torch.where(variance > 0, variance.rsqrt(), 0)
        rows, columns = torch.tril_indices(*self.matrix.shape)
        correlation = (inverse[:, None] * self.matrix * inverse)[rows, columns] * (1 - ROUNDING)
        return {
            "variance": variance.clone(),
            "correlation": (correlation * STEPS).round().clamp(-STEPS, STEPS).to(torch.int16),
        }

    def times(self, other: Tensor) -> Tensor:
        """F @ other, for `other` (d, r)."""
        return FactorStack([self], other.device, other.dtype).times(other[None])[0]

    def combined(self, own: float, other: Factor, weight: float) -> Factor:
        """own * self + weight * other. Raises ValueError if their forms or widths differ."""
        if self.shapes != other.shapes:
            raise ValueError(f"factors of different forms: {self.shapes} and {other.shapes}")
        parts = zip((self.matrix, self.diagonal), (other.matrix, other.diagonal), strict=True)
        return Factor(*(None if a is None or b is None else own * a + weight * b for a, b in parts))

    @property
    def shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(
            None if part is None else tuple(part.shape) for part in (self.matrix, self.diagonal)
        )

    @property
    def width(self) -> int:
        return len(_some(self.matrix if self.matrix is not None else self.diagonal))

    @property
    def trace(self) -> float:
        """Sum of the diagonal, which is the size of the whole."""
        return float(
            self.diagonal.sum()
            if self.diagonal is not None
            else _some(self.matrix).diagonal().sum()
        )

    @property
    def dtype(self) -> torch.dtype:
        return _some(self.matrix if self.matrix is not None else self.diagonal).dtype

    def nystroem(self) -> tuple[Tensor, Tensor]:
        """Of a sketch: U (d, k) with U U^T <= F, and the diagonal of what is left.

        Both are in the sketch's own precision. Columns that add nothing are 0.
        """
        sketch = _some(self.matrix).double()
        core = omega(len(sketch)).to(sketch).T @ sketch
        values, vectors = torch.linalg.eigh((core + core.T) / 2)
        kept = values > values[-1].clamp(min=0) * 1e-6
        low = sketch @ (vectors * torch.where(kept, values.clamp(min=0).rsqrt(), 0))
        rest = (_some(self.diagonal).double() - low.square().sum(1)).clamp(min=0)
        return low.to(self.dtype), rest.to(self.dtype)


class FactorStack:
    """Several factors of one width and form, ready for products on `device`.

    Whole matrices and sketches are in `dtype`, results in their operand's. F is symmetric, and few
    rows from the left are two to four times faster than few columns from the right (measured, d =
    576 and 1536, r = 8).
    """

    def __init__(self, factors: Sequence[Factor], device: torch.device, dtype: torch.dtype) -> None:
        self._whole: list[Tensor] = []
        self._low: Tensor | None = None
        self._rest: Tensor | None = None
        if factors[0].matrix is None:
            self._rest = torch.stack([_some(one.diagonal) for one in factors]).to(device)
        elif factors[0].diagonal is None:
            self._whole = [_some(one.matrix).to(device, dtype) for one in factors]
        else:
            low, rest = zip(*(one.nystroem() for one in factors), strict=True)
            self._low, self._rest = torch.stack(low).to(device, dtype), torch.stack(rest).to(device)

    def times(self, others: Tensor) -> Tensor:
        """F_g @ others_g of each, (g, d, r)."""
        if self._rest is None:
            rows = [
                other.mT.to(whole.dtype) @ whole
                for other, whole in zip(others, self._whole, strict=True)
            ]
            return torch.stack(rows).mT.to(others.dtype)
        diagonal = self._rest.to(others.dtype)[..., None] * others
        if self._low is None:
            return diagonal
        low = self._low @ (self._low.mT @ others.to(self._low.dtype))
        return diagonal + low.to(others.dtype)


class FactorSum:
    """The sum of v v^T over vectors as they come, in the form that fits their width.

    Products are in the vectors' own precision, sums in float32 or better.
    """

    def __init__(self, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self._high = torch.promote_types(dtype, torch.float32)
        self._whole = width <= FULL_WIDTH
        self._matrix = torch.zeros(
            width, width if self._whole else SKETCH, device=device, dtype=self._high
        )
        self._diagonal = (
            None if self._whole else torch.zeros(width, device=device, dtype=self._high)
        )
        self._omega = None if self._whole else omega(width).to(device=device, dtype=dtype)

    def add(self, vectors: Tensor) -> None:
        """Add the rows of `vectors` (n, d)."""
        if self._omega is None:
            self._matrix += (vectors.T @ vectors).to(self._high)
        else:
            self._matrix += (vectors.T @ (vectors @ self._omega)).to(self._high)
            _some(self._diagonal).add_(vectors.to(self._high).square().sum(0))

    def factor(self, count: float) -> Factor:
        """The sum divided by `count`, on the CPU, symmetric to the last bit.

        It is large, so it is divided in place: the sum is used up.
        """
        if self._diagonal is None:
            return Factor((self._matrix + self._matrix.T).div_(2 * count).cpu())
        return Factor(self._matrix.div_(count).cpu(), self._diagonal.div_(count).cpu())


def _symmetric(triangle: Tensor, width: int) -> Tensor:
    """The matrix (d, d) of a lower triangle, row by row."""
    matrix = triangle.new_zeros(width, width)
    rows, columns = torch.tril_indices(width, width)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix


def _some(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("a factor has no part to compute with")
    return value
