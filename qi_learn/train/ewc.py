"""Elastic weight consolidation on the weight change dW itself.

A change that moves the model's answers on old work costs; any other change is free.

0.5 * lambda * sum over modules of tr(dW^T S dW C), with dW = B @ A (scale included). A and B on
their own mean nothing (B R^-1 and R A are the same change), so the penalty depends on their product
alone. It never forms dW: with dW = B A it is tr(B^T S B  A C A^T), of the size of the rank.

The general penalty anchors at the base: the whole change since then is [B_served, B] [A_served; A],
the adapter that is served and this cycle's delta side by side. Only the delta's own parts have a
gradient. With nothing served it is the plain penalty on the delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qi_learn.errors import ModelError
from qi_learn.train.adapter import WeightChange
from qi_learn.train.factor import FactorStack
from qi_learn.train.fisher import Fisher


class Penalty:
    """0.5 * strength * sum over modules of tr(dW^T S dW C), added once per optimiser step.

    `names` are the modules that it holds. A module that the Fisher lacks raises ModelError, so that
    nothing moves unpenalised by accident. `served` is the part of the change that is there already
    and stays. Sums are in float32 (float64 if the factors are), products with S and C in `products`
    if given: bfloat16 halves what has to be read for them, which is what takes their time. Modules
    of one shape are computed side by side.
    """

    def __init__(
        self,
        fisher: Fisher,
        strength: float,
        *,
        scale: float,
        names: tuple[str, ...],
        served: Mapping[str, WeightChange] | None = None,
        device: torch.device,
        products: torch.dtype | None = None,
    ) -> None:
        if missing := [name for name in names if name not in fisher.modules]:
            raise ModelError(
                f"The Fisher knows nothing of `{missing[0]}` and {len(missing) - 1} more modules "
                "that the plan trains.",
                "Delete the Fisher's file; it is computed anew.",
            )
        self.strength = strength
        self.scale = scale
        alike: dict[Any, list[str]] = {}
        for name in names:
            both, before = fisher.modules[name], (served or {}).get(name)
            shape = both.S.shapes, both.C.shapes, before and len(before.A)
            alike.setdefault(shape, []).append(name)
        self._groups = [
            _Group(fisher, tuple(group), served or {}, device, products) for group in alike.values()
        ]

    def __call__(self, factors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The penalty, in nats per target token; differentiable.

        `factors`: the delta's A (r, n) and B (m, r), by module.
        """
        each = torch.cat([self._quadratics(group, factors) for group in self._groups])
        return 0.5 * self.strength * each.sum()

    @torch.no_grad()
    def predicted(self, factors: Mapping[str, tuple[Tensor, Tensor]]) -> float:
        """The divergence that the Fisher predicts for the change, in nats of KL per target token.

        If the Fisher was summed over several cycles, that of the mean cycle.
        """
        return sum(
            0.5 * float((self._quadratics(group, factors) / group.cycles).sum())
            for group in self._groups
        )

    @property
    def blind(self) -> bool:
        """Whether it is 0 for every change: all of S, or all of C, is 0."""
        return all(group.silent == len(group.names) for group in self._groups)

    @property
    def silent(self) -> int:
        """Number of modules of which it says nothing: all of their S, or all of their C, is 0."""
        return sum(group.silent for group in self._groups)

    def _quadratics(self, group: _Group, factors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """tr(dW^T S dW C) of each module of a group."""
        A, B = (torch.stack([factors[name][part] for name in group.names]) for part in (0, 1))
        values: Tensor = _Quadratic.apply(A, self.scale * B, group)  # type: ignore[no-untyped-call]
        return values


class _Group:
    """The factors of modules of one shape, and the fixed products with the served change.

    These are S B_0 (g, m, r_0) and A_0 C (g, r_0, n).
    """

    def __init__(
        self,
        fisher: Fisher,
        names: tuple[str, ...],
        served: Mapping[str, WeightChange],
        device: torch.device,
        products: torch.dtype | None,
    ) -> None:
        fishers = [fisher.modules[name] for name in names]
        one = fishers[0]
        high = torch.promote_types(one.S.dtype, torch.float32)
        self.names = names
        self.cycles = torch.tensor([both.cycles for both in fishers], device=device)
        self.silent = sum(both.S.trace * both.C.trace == 0 for both in fishers)
        self.S, self.C = (
            FactorStack([getattr(both, side) for both in fishers], device, products or high)
            for side in ("S", "C")
        )
        none = WeightChange(torch.zeros(0, one.C.width), torch.zeros(one.S.width, 0))
        before = [served.get(name, none) for name in names]
        self.A, self.B = (
            torch.stack([getattr(change, part) for change in before]).to(device, high)
            for part in ("A", "B")
        )
        self.SB, self.AC = self.S.times(self.B), self.C.times(self.A.mT).mT
        self.old = ((self.B.mT @ self.SB) * (self.AC @ self.A.mT)).sum((1, 2))
        """The cost of the served part alone, which stays as it is."""


class _Quadratic(torch.autograd.Function):
    """tr(B^T S B A C A^T) (g,) for the joined A and B.

    Its gradients need the same products as its value: 2 S B (A C A^T) and 2 (B^T S B) A C. Both
    inner matrices are symmetric, and only their rows of the new part are made: served adapters
    of many updates have a far higher rank than that.
    """

    @staticmethod
    def forward(ctx: Any, A: Tensor, B: Tensor, group: _Group) -> Tensor:
        A_new, B_new = A.to(group.A.dtype), B.to(group.B.dtype)
        SB = torch.cat([group.SB, group.S.times(B_new)], 2)
        AC = torch.cat([group.AC, group.C.times(A_new.mT).mT], 1)
        out_side, in_side = B_new.mT @ SB, AC @ A_new.mT
        ctx.save_for_backward(2 * out_side @ AC, 2 * SB @ in_side)
        each = (out_side * in_side.mT).sum(1)
        served = group.A.shape[1]
        return group.old + 2 * each[:, :served].sum(1) + each[:, served:].sum(1)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        A_gradient, B_gradient = ctx.saved_tensors
        return (
            upstream[0][:, None, None] * A_gradient,
            upstream[0][:, None, None] * B_gradient,
            None,
        )
