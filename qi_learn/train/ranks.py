"""The processes that share a training, one for each GPU.

Every step's sequences are dealt out, gradients are added up, everything else is done alike. Each
gradient is divided by the whole step's weight of target tokens before it is added, and the
penalties come after, in every process on the same sum: so two processes take the steps that one
would have taken, but for rounding. accelerate makes the process group (NCCL between GPUs, gloo on a
CPU). A single process does and imports nothing of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=2)
"""How long a process waits for another, which may be pausing for its user."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `size`; the first one writes files and reports."""

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part: every size-th, so that the sorted lengths are spread evenly."""
        return items[self.rank :: self.size]

    def sum(self, values: Iterable[float]) -> list[float]:
        """Each number added up over all processes."""
        own = list(values)
        if self.size == 1:
            return own
        tensor = torch.tensor(own, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def any(self, own: bool) -> bool:
        """Whether it is so in any process: if one has to stop, all stop, at the same step."""
        return self.sum([float(own)])[0] > 0

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up gradients in one exchange; a parameter without one here takes part with zeros."""
        if self.size == 1:
            return
        shared = list(parameters)
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in shared]
        )
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in shared])
        for parameter, part in zip(shared, parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def synchronise(self, weights: Mapping[str, Tensor]) -> None:
        """Put the first process's values everywhere, which undoes what rounding pulled apart."""
        if self.size > 1:
            for value in weights.values():
                torch.distributed.broadcast(value.data, 0)


ALONE = Ranks()


def join_group(meeting: Path, device: str) -> Ranks:
    """Meet the other processes at the file `meeting`, which is new for every start.

    RANK and WORLD_SIZE say which process this is (`supervise.py` sets them).
    """
    from accelerate import PartialState
    from accelerate.utils import check_cuda_p2p_ib_support

    cuda = device.startswith("cuda")
    if cuda and not check_cuda_p2p_ib_support():
        # cards that cannot exchange data directly, which NCCL would try
        os.environ.update({"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"})
    identity = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
    state = PartialState(
        cpu=not cuda,
        backend="nccl" if cuda else "gloo",
        init_method=meeting.as_uri(),
        timeout=LONGEST_WAIT,
        **identity,
    )
    return Ranks(state.process_index, state.num_processes, state.device)
