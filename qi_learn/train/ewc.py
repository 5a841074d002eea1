"""Elastic weight consolidation on the weight change dW itself: what moves the model's answers on old work costs, the rest is free.

0.5 * lambda * sum over modules of tr(dW^T S dW C), with dW = B @ A (scale included). A and B on their own mean nothing (B R^-1 and R A are the same
change), so the penalty depends on their product alone; and it never forms dW: with dW = B A it is tr(B^T S B  A C A^T), of the size of the rank.

A *drift* penalty anchors at the base: the whole change since then is [B_served, B] [A_served; A], the adapter that is served and this cycle's delta
side by side; only the delta's own parts have a gradient. With nothing served it is the plain penalty on the delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qi_learn.errors import ModelError
from qi_learn.train.adapter import Change
from qi_learn.train.factor import Factor
from qi_learn.train.fisher import Fisher


class Penalty:
    """0.5 * strength * sum over modules of tr(dW^T S dW C), in float32 (float64 where the factors are); added once per optimiser step.

    `names` are the modules it holds; one the Fisher knows nothing of raises ModelError, so that nothing moves unpenalised by accident. `served` is the
    part of the change that is there already and stays.
    """

    def __init__(
        self, fisher: Fisher, strength: float, *, scale: float, names: tuple[str, ...], served: Mapping[str, Change] | None = None, device: torch.device
    ) -> None:
        if missing := [name for name in names if name not in fisher.modules]:
            raise ModelError(
                f"The Fisher knows nothing of `{missing[0]}` and {len(missing) - 1} more modules that the plan trains.",
                "Delete the Fisher's file; it is computed anew.",
            )
        self.strength = strength
        self.scale = scale
        self._modules = {name: _Module(fisher, name, (served or {}).get(name), device) for name in names}

    def __call__(self, factors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The penalty, in nats per target token, for the delta's A (r, n) and B (m, r) of each module it was made for; differentiable."""
        each = [_Quadratic.apply(factors[name][0], self.scale * factors[name][1], module) for name, module in self._modules.items()]  # type: ignore[no-untyped-call]
        return 0.5 * self.strength * torch.stack(each).sum()


class _Module:
    """The factors of one module and the fixed products with the served change: S B_0 and A_0 C."""

    def __init__(self, fisher: Fisher, name: str, served: Change | None, device: torch.device) -> None:
        found = fisher.modules[name]
        dtype = _precision(found.S)
        self.S, self.C = found.S.to(device, dtype), found.C.to(device, dtype)
        m, n = self.S.width, self.C.width
        self.B = served.B.to(device, dtype) if served else torch.zeros(m, 0, device=device, dtype=dtype)
        self.A = served.A.to(device, dtype) if served else torch.zeros(0, n, device=device, dtype=dtype)
        self.SB = self.S.times(self.B)
        self.AC = self.C.times(self.A.T).T


class _Quadratic(torch.autograd.Function):
    """tr(B^T S B A C A^T) for the joined A and B. Its gradients need the same products as its value: 2 S B (A C A^T) and 2 (B^T S B) A C."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, B: Tensor, module: _Module) -> Tensor:
        A_new, B_new = A.to(module.A.dtype), B.to(module.B.dtype)
        SB = torch.cat([module.SB, module.S.times(B_new)], 1)
        AC = torch.cat([module.AC, module.C.times(A_new.T).T], 0)
        out_side = torch.cat([module.B, B_new], 1).T @ SB
        in_side = AC @ torch.cat([module.A, A_new], 0).T
        rank = A.shape[0]
        ctx.save_for_backward((2 * out_side @ AC)[-rank:], (2 * SB @ in_side)[:, -rank:])
        return (out_side * in_side).sum()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        A_gradient, B_gradient = ctx.saved_tensors
        return upstream[0] * A_gradient, upstream[0] * B_gradient, None


def _precision(factor: Factor) -> torch.dtype:
    part = factor.matrix if factor.matrix is not None else factor.diagonal
    return torch.promote_types(part.dtype if part is not None else torch.float32, torch.float32)
