"""How likely a network finds given answers; no gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qi_learn.train.batches import Sample
from qi_learn.train.model import Network


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


def per_token(network: Network, samples: Sequence[Sample], size: int) -> dict[str, float]:
    """Nats per target token of each sequence, by its id."""
    return {s.id: -found / s.targets for s, found in zip(samples, log_probabilities(network, samples, size), strict=True)}
