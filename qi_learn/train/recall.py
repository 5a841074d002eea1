"""What the model knew before this cycle's first step, and what it knows of the new after the last one.

Both are measured on the very network that is trained. *Before*: on what is served, with no LoRA on it yet, once in a run and kept in `before.json`, so that
a run that was stopped goes on with the same numbers to the last bit. The two together are the run's `memory.json`, from which later cycles see what was
forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qi_learn import codec
from qi_learn.paths import replace_file
from qi_learn.records import Memory, Plan
from qi_learn.train.batches import Sample
from qi_learn.train.loop import Data, steps_of
from qi_learn.train.model import Network


@dataclass(frozen=True, slots=True)
class Before:
    """Of the served model."""

    known: Mapping[str, float]
    """Nats per target token of every sequence that will be replayed."""


def look_before(run: Path, network: Network, plan: Plan, data: Data) -> Before:
    """Measured now, or as it was measured when the run began. The network must have no LoRA yet."""
    place = run / "before.json"
    if place.exists():
        return codec.loads(Before, place.read_text(encoding="utf-8"))
    wanted = _replayed(plan, data, plan.max_steps)
    before = Before(known=per_token(network, [s for s in data.replay if s.id in wanted], plan.batch_size))
    replace_file(place, codec.dumps(before) + "\n")
    return before


def look_back(run: Path, network: Network, plan: Plan, data: Data, steps: int) -> Memory:
    """The run's memory after `steps` steps, written down."""
    before = look_before(run, network, plan, data)
    memory = Memory(before.known, per_token(network, data.new, plan.batch_size), dict(_replayed(plan, data, steps)))
    replace_file(run / "memory.json", codec.dumps(memory) + "\n")
    return memory


def per_token(network: Network, samples: Sequence[Sample], size: int) -> dict[str, float]:
    """Nats per target token of each sequence, by its id."""
    return {s.id: -found / s.targets for s, found in zip(samples, log_probabilities(network, samples, size), strict=True)}


@torch.no_grad()
def log_probabilities(network: Network, samples: Sequence[Sample], size: int) -> list[float]:
    """The log-probability of each sequence's target (nats, summed over its tokens), `size` sequences of like length at a time."""
    found = [0.0] * len(samples)
    order = sorted(range(len(samples)), key=lambda i: -len(samples[i].ids))
    for at in range(0, len(order), size):
        part = order[at : at + size]
        batch = network.batch([samples[i] for i in part])
        sums = torch.zeros(len(part), dtype=torch.float64, device=batch.owner.device)
        sums.index_add_(0, batch.owner, network.nll(batch).double())
        for i, nll in zip(part, sums.tolist(), strict=True):
            found[i] = -nll
    return found


def _replayed(plan: Plan, data: Data, steps: int) -> Counter[str]:
    """How often each replayed sequence comes in the first `steps` steps."""
    old = {s.id for s in data.replay}
    return Counter(s.id for step in steps_of(plan, data)[:steps] for s in step if s.id in old)
