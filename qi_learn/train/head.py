"""The output head, a few hundred rows at a time: no pass ever holds logits of all targets.

The vocabulary-sized logits are made for target positions only, and their gradient right with them
(`head_pass`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

HEAD_ELEMENTS = {"cpu": 2**22, "cuda": 2**26}
"""Logits in memory at a time, by device.

On a CPU 16 MB of float32: larger blocks are fresh pages from the system every time, which costs
more than the arithmetic.
"""


def head_pass(
    rows: Tensor,
    head: Tensor,
    labels: Tensor | None = None,
    uniform: Tensor | None = None,
    *,
    gradient: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (K,), their NLL (K,) and its gradient in the rows (K, d).

    It never holds K x V logits. Without `labels` they are drawn from the model's own distribution
    by inversion: `uniform` (K,) in [0, 1) decides.
    """
    chosen, losses, gradients = [], [], []
    size = max(1, HEAD_ELEMENTS[rows.device.type] // len(head))
    for at in range(0, len(rows), size):
        part = slice(at, at + size)
        inputs = rows[part].to(head.dtype)
        logits = inputs @ head.T
        high = torch.promote_types(logits.dtype, torch.float32)
        peak = logits.amax(-1, keepdim=True).to(high)
        probabilities = torch.softmax(logits, -1, dtype=high)
        # log of the sum of exp(logits): the largest probability is exp(peak - log_total)
        log_total = peak - probabilities.amax(-1, keepdim=True).log()
        label = (
            labels[part] if labels is not None else _draw(probabilities, _present(uniform)[part])
        )
        losses.append((log_total - logits.gather(1, label[:, None]).to(high))[:, 0])
        chosen.append(label)
        if gradient:
            probabilities[torch.arange(len(label), device=rows.device), label] -= 1
            gradients.append((probabilities.to(head.dtype) @ head).to(rows.dtype))
    empty = rows.new_zeros(0)
    return torch.cat(chosen), torch.cat(losses), torch.cat(gradients) if gradient else empty


class TokenNll(torch.autograd.Function):
    """NLL of given labels under a frozen head.

    The forward pass makes each row's own gradient, and the backward pass scales it.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, head: Tensor, labels: Tensor) -> Tensor:
        _, losses, gradients = head_pass(rows.detach(), head, labels, gradient=rows.requires_grad)
        ctx.save_for_backward(gradients)
        return losses

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * upstream[0][:, None].to(gradients.dtype), None, None


def _draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One label per row by inversion, in two steps: the block, then the label in the block.

    So no running sum over the vocabulary is made.
    """
    rows, vocabulary = probabilities.shape
    width = next(w for w in range(min(512, vocabulary), 0, -1) if vocabulary % w == 0)
    blocks = probabilities.view(rows, -1, width)
    upto = blocks.sum(-1).cumsum(-1)
    target = uniform.to(upto.dtype)[:, None] * upto[:, -1:]
    block = torch.searchsorted(upto, target, right=True).clamp(max=upto.shape[-1] - 1)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, width))[:, 0]
    left = target - upto.gather(1, block) + inside.sum(-1, keepdim=True)
    index = torch.searchsorted(inside.cumsum(-1), left, right=True).clamp(max=width - 1)
    return (block * width + index)[:, 0]


def _present(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("either labels or uniform numbers are needed")
    return value
