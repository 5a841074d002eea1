"""The likelihood of given answers under a network; no gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qi_learn.plan.schedule import Sample, balanced
from qi_learn.train.network import Network


@torch.no_grad()
def log_probabilities(network: Network, samples: Sequence[Sample], size: int) -> list[float]:
    """The log-probability of each sequence's target, in nats, summed over its tokens.

    At most `size` sequences are run at a time.
    """
    order = sorted(range(len(samples)), key=lambda i: -len(samples[i].ids))
    groups = balanced([samples[i] for i in order], size, network.lanes.count)
    nlls = [
        nll
        for group in network.lanes.map(lambda group: _summed(network, group), groups)
        for nll in group
    ]
    nll_of = dict(zip(order, nlls, strict=True))
    return [-nll_of[i] for i in range(len(samples))]


def _summed(network: Network, group: Sequence[Sample]) -> list[float]:
    """Nats of each sequence's target."""
    batch = network.batch(group)
    sums = torch.zeros(len(group), dtype=torch.float64, device=batch.owner.device)
    return sums.index_add_(0, batch.owner, network.nll(batch).double()).tolist()


def per_token(network: Network, samples: Sequence[Sample], size: int) -> dict[str, float]:
    """Nats per target token of each sequence, by its id."""
    values = log_probabilities(network, samples, size)
    return {s.id: -value / s.targets for s, value in zip(samples, values, strict=True)}
