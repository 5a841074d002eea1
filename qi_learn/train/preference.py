"""Preferences: what was kept rather than what was suggested.

There are two losses, each a function of log-probabilities alone, so their gradients are weights.
With r = log p(y|x) - log p_served(y|x), the served model being the one trained on (B = 0), measured
once before training (`recall.py`):

* *Choice* (DPO with the chosen text's likelihood beside it, RPO):
  -log sigmoid(beta (r_chosen - r_rejected)) - log p(chosen) / |chosen|. A kept text is mostly the
  suggestion with a few tokens changed. On such pairs DPO alone lowers both, and the second term
  keeps the chosen one up. Only the changed span and a few tokens behind it are compared: what comes
  before is the same text after the same text, and cancels.
* *Rejection* (KTO): half the mean of 1 - sigmoid(beta (z - r)) over answers of which nothing was
  kept, half that of 1 - sigmoid(beta (r - z)) over kept ones, so that neither side outweighs the
  other. z is the mean of r over answers put to each other's questions, at least 0, and has no
  gradient. There is no rejection without a kept answer beside it.

Both passes (value, then gradient) go through the network `size` sequences at a time, as the rest of
a step does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from qi_learn.plan.schedule import Sample, balanced
from qi_learn.records import Pair
from qi_learn.train.likelihood import log_probabilities
from qi_learn.train.network import Network

BETA = 0.1
CONTEXT = 8
"""Tokens behind the changed span that are compared too: they show whether what follows still fits.
"""
GROUP = 2
"""Rejections at a time, with as many kept answers: z is then a mean over four."""
EPOCHS = 2
"""Times that each comparison is seen, at most one per step."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Two texts after one prompt, from the first token in which they differ."""

    chosen: Sample
    rejected: Sample

    @property
    def samples(self) -> tuple[Sample, ...]:
        return (self.chosen, self.rejected)

    @property
    def measured(self) -> tuple[Sample, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rejected and kept answers, and each of them after another's prompt."""

    rejected: tuple[Sample, ...]
    kept: tuple[Sample, ...]
    measured: tuple[Sample, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        return (*self.rejected, *self.kept)


Comparison = Choice | Rejection


def comparisons(
    pairs: Sequence[Pair], kept: Sequence[Sample], *, max_length: int, seed: int
) -> tuple[Comparison, ...]:
    """The comparisons that the pairs of a data set make.

    `kept` are the new sequences, from which rejections take their counterpart.
    """
    choices = [c for p in pairs if p.source != "reject" and (c := _choice(p, max_length))]
    rejected = [s for p in pairs if p.source == "reject" and (s := _whole(p, max_length))]
    rng = random.Random(seed)
    groups = [rejected[at : at + GROUP] for at in range(0, len(rejected), GROUP)] if kept else []
    return (
        *choices,
        *(
            _rejection(group, rng.sample(kept, min(len(kept), len(group))), max_length)
            for group in groups
        ),
    )


def schedule_comparisons(
    compared: Sequence[Comparison], *, steps: int, seed: int
) -> dict[int, Comparison]:
    """The comparison of each step that has one.

    Each comes `EPOCHS` times, all spread evenly, at most one per step.
    """
    rng = random.Random(seed)
    order = [c for _ in range(EPOCHS) for c in rng.sample(compared, len(compared))][:steps]
    return {at * steps // len(order): c for at, c in enumerate(order)}


def reference_samples(compared: Sequence[Comparison]) -> tuple[Sample, ...]:
    """Every sequence whose log-probability under the served model is needed, each once."""
    return tuple({s.id: s for c in compared for s in (*c.samples, *c.measured)}.values())


def add_gradients(
    network: Network,
    comparison: Comparison,
    reference: Mapping[str, float],
    *,
    weight: float,
    size: int,
) -> float:
    """Add `weight` times the loss of a comparison to the gradients; the loss.

    `reference`: log-probabilities under the served model, by sequence.
    """
    every = (*comparison.samples, *comparison.measured)
    now = dict(zip((s.id for s in every), log_probabilities(network, every, size), strict=True))
    loss, slopes = loss_and_slopes(comparison, now, reference)
    # the weights are on the NLL, hence the sign
    weighed = [
        replace(s, weight=-weight * slope)
        for s, slope in zip(comparison.samples, slopes, strict=True)
    ]
    groups = balanced(sorted(weighed, key=lambda s: -len(s.ids)), size, network.lanes.count)
    network.lanes.backward(
        [partial(network.weighted_nll, group) for group in groups], network.parameters
    )
    return loss


def loss_and_slopes(
    comparison: Comparison, now: Mapping[str, float], reference: Mapping[str, float]
) -> tuple[float, list[float]]:
    """The loss of a comparison, and its derivative by each sample's log-probability."""
    moved = {name: value - reference[name] for name, value in now.items()}
    if isinstance(comparison, Choice):
        chosen, rejected = comparison.samples
        loss, by_margin = _log_loss(BETA * (moved[chosen.id] - moved[rejected.id]))
        return loss - now[chosen.id] / chosen.targets, [
            BETA * by_margin - 1 / chosen.targets,
            -BETA * by_margin,
        ]
    measured = comparison.measured
    z = max(0.0, math.fsum(moved[s.id] for s in measured) / max(1, len(measured)))
    sides = [(-1, s, 2 * len(comparison.rejected)) for s in comparison.rejected] + [
        (1, s, 2 * len(comparison.kept)) for s in comparison.kept
    ]
    values = [(sign, _sigmoid(sign * BETA * (moved[s.id] - z)), count) for sign, s, count in sides]
    return math.fsum((1 - v) / count for _, v, count in values), [
        -sign * BETA * v * (1 - v) / count for sign, v, count in values
    ]


def share_preferred(
    compared: Sequence[Comparison], log_probability: Mapping[str, float]
) -> float | None:
    """Share of the choices whose chosen text is the likelier; None without choices.

    Both texts count from the first token in which they differ.
    """
    choices = [c for c in compared if isinstance(c, Choice)]
    if not choices:
        return None
    likelier = [log_probability[c.chosen.id] > log_probability[c.rejected.id] for c in choices]
    return sum(likelier) / len(choices)


def _choice(pair: Pair, max_length: int) -> Choice | None:
    """The two texts cut to the span that differs; None if that is beyond the longest sequence."""
    chosen, rejected = pair.chosen_ids, pair.rejected_ids
    start = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
        min(len(chosen), len(rejected)),
    )
    shortest = min(len(chosen), len(rejected)) - start
    same = next((i for i in range(shortest) if chosen[-1 - i] != rejected[-1 - i]), shortest)
    cut = max(0, same - CONTEXT)
    better = _span(pair, "chosen", chosen[: len(chosen) - cut], start, max_length)
    worse = _span(pair, "rejected", rejected[: len(rejected) - cut], start, max_length)
    return Choice(better, worse) if better and worse else None


def _whole(pair: Pair, max_length: int) -> Sample | None:
    return _span(pair, "rejected", pair.rejected_ids, 0, max_length)


def _span(
    pair: Pair, side: str, answer: Sequence[int], start: int, max_length: int
) -> Sample | None:
    ids = (*pair.prompt_ids, *answer)[:max_length]
    first = max(1, len(pair.prompt_ids) + start)
    return Sample(f"{pair.hash}:{side}", ids, first) if len(ids) > first else None


def _rejection(rejected: Sequence[Sample], kept: Sequence[Sample], max_length: int) -> Rejection:
    """A rejection in which each answer is also put to the question of the one before it."""
    answers = [*rejected, *kept]
    mixed = [m for at, s in enumerate(answers) if (m := _after(answers[at - 1], s, max_length))]
    return Rejection(tuple(rejected), tuple(kept), tuple(mixed))


def _after(other: Sample, answer: Sample, max_length: int) -> Sample | None:
    ids = (*other.ids[: other.start], *answer.ids[answer.start :])[:max_length]
    if len(ids) <= other.start:
        return None
    return Sample(f"{answer.id} after {other.id}", ids, other.start)


def _log_loss(x: float) -> tuple[float, float]:
    """-log sigmoid(x) and its derivative."""
    return math.log1p(math.exp(-abs(x))) + max(0.0, -x), -_sigmoid(-x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
