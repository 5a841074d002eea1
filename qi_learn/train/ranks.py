"""The processes that share a training, one for each GPU: every step's sequences are dealt out,
gradients are added up, everything else is done alike.

Each gradient is divided by the whole step's weight of target tokens before it is added, and the
penalties come after, in every process on the same sum: so two processes take the steps that one
would have taken, but for rounding. accelerate makes the process group (NCCL between GPUs, gloo on a
CPU). Alone, nothing of this happens and nothing of it is imported.
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
"""How long one waits for another, who may be pausing for its user."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `size`; the first one writes files and speaks."""

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part: every size-th, so that lengths, which are sorted, are spread evenly."""
        return items[self.rank :: self.size]

    def sum(self, values: Iterable[float]) -> list[float]:
        """Each number added up over all processes."""
        found = list(values)
        if self.size == 1:
            return found
        tensor = torch.tensor(found, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def any(self, asked: bool) -> bool:
        """Whether it is so in any process: what one has to stop for, all stop for, at the same
        step.
        """
        return self.sum([float(asked)])[0] > 0

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Adds up gradients in one exchange; a parameter that had none here takes part with zeros."""
        if self.size == 1:
            return
        them = list(parameters)
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in them]
        )
        torch.distributed.all_reduce(flat)
        for parameter, part in zip(them, torch.split(flat, [p.numel() for p in them]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def same(self, weights: Mapping[str, Tensor]) -> None:
        """The first process's values everywhere: what rounding pulled apart comes together again."""
        if self.size > 1:
            for value in weights.values():
                torch.distributed.broadcast(value.data, 0)


ALONE = Ranks()


def join(meeting: Path, device: str) -> Ranks:
    """Meets the other processes at the file `meeting`, which is new for every start; RANK and
    WORLD_SIZE say who this is (`conduct.py` sets them).
    """
    from accelerate import PartialState
    from accelerate.utils import check_cuda_p2p_ib_support

    cuda = device.startswith("cuda")
    if (
        cuda and not check_cuda_p2p_ib_support()
    ):  # cards that cannot talk to each other directly, which NCCL would try
        os.environ.update({"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"})
    who = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
    state = PartialState(
        cpu=not cuda,
        backend="nccl" if cuda else "gloo",
        init_method=meeting.as_uri(),
        timeout=LONGEST_WAIT,
        **who,
    )
    return Ranks(state.process_index, state.num_processes, state.device)
