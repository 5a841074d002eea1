"""How far the answers moved, next to what the Fisher predicted.

KL(before || after) per target token, exactly, over the whole vocabulary. The head is frozen, so of
the model before only the final hidden states are kept (K, d); both distributions are made from them
a few rows at a time, in float32 whatever the model computes in, since a rounding of the logits is a
divergence of its own. Sequences are run in the same batches before and after: a model that has not
changed has moved by exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qi_learn.plan.schedule import Sample
from qi_learn.records import Divergence
from qi_learn.stats import evenly
from qi_learn.train.ewc import Penalty
from qi_learn.train.head import HEAD_ELEMENTS
from qi_learn.train.network import Network

SEQUENCES = 16
"""Sequences measured on, about 1,500 target tokens: two choices of 16 sequences, from other
modules, agreed within 6 % (0.0118 and 0.0125 nat, SmolLM2, one cycle).
"""
AT_ONCE = 2
VOCABULARY_BLOCK = 4096
"""Rows of the head that are float32 at a time."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Sequences, and the final hidden states (K, d) at their targets under the model as it was."""

    sequences: tuple[Sample, ...]
    rows: Tensor


def yardstick(
    network: Network, sequences: Sequence[Sample], count: int = SEQUENCES
) -> Yardstick | None:
    """What `measure_divergence` compares with: sequences at the network's present weights.

    At most `count` of the sequences, spread evenly. None if there are no sequences.
    """
    if not sequences:
        return None
    chosen = sorted(evenly(sequences, count), key=lambda s: -len(s.ids))
    return Yardstick(tuple(chosen), _rows(network, chosen))


def measure_divergence(
    network: Network, before: Yardstick | None, penalty: Penalty | None
) -> Divergence | None:
    """How far the network has moved since `before`, and what `penalty`'s Fisher predicts for it."""
    if before is None:
        return None
    each = divergence(before.rows, _rows(network, before.sequences), network.head)
    predicted = None if penalty is None else penalty.predicted(network.factors())
    return Divergence(float(each.double().mean()), predicted, len(before.sequences), len(each))


@torch.no_grad()
def divergence(old: Tensor, new: Tensor, head: Tensor) -> Tensor:
    """KL(softmax(old @ head^T) || softmax(new @ head^T)) of each row (K,), nats.

    It never holds K x V logits.
    """
    parts = []
    size = max(1, HEAD_ELEMENTS[old.device.type] // (2 * len(head)))
    for at in range(0, len(old), size):
        before, after = (
            torch.log_softmax(_logits(rows[at : at + size], head), -1) for rows in (old, new)
        )
        parts.append((before.exp() * (before - after)).sum(-1))
    return torch.cat(parts) if parts else old.new_zeros(0)


def _logits(rows: Tensor, head: Tensor) -> Tensor:
    high = torch.promote_types(rows.dtype, torch.float32)
    rows = rows.to(high)
    return torch.cat(
        [
            rows @ head[at : at + VOCABULARY_BLOCK].to(high).T
            for at in range(0, len(head), VOCABULARY_BLOCK)
        ],
        -1,
    )


@torch.no_grad()
def _rows(network: Network, sequences: Sequence[Sample]) -> Tensor:
    groups = [sequences[at : at + AT_ONCE] for at in range(0, len(sequences), AT_ONCE)]
    return torch.cat(network.lanes.map(lambda group: network.rows(network.batch(group)), groups))
