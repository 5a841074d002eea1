"""How much each training example counts: by its kind of work, and by the evidence for its text.

*Kind*: an example of a group (domain × learning type) of n weighs n^(-1/2), between leaving the
groups as they are (n^0) and making them equal (n^-1), within [0.5, 2]. *Evidence*, as the setting
`train.weights` chooses:

    quality    exp(2 x target score - 1), within [0.2, 3] (reward-weighted regression at
               temperature 1)
    feedback   2 for a text the person liked, 0.5 for one they did not, 1 if that is not known
    uniform    1

The product has mean 1 over the training split, and at least a third of the examples carry it ((sum
w)^2 / sum w^2 >= n / 3): weights choose between examples, they do not make a few of them the whole
data set. The loss divides by a step's weight of target tokens, so no weight moves the learning
rate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qi_learn.records import Example

LIGHTEST, HEAVIEST = 0.5, 2.0
"""Limits of the weight of a kind of work."""
LEAST_QUALITY, MOST_QUALITY = 0.2, 3.0
"""Limits of the weight of a target score."""
LIKED, DISLIKED = 2.0, 0.5
"""Weights of what the person thought."""
LEAST_EFFECTIVE = 1 / 3
"""Share of the examples that must carry the weight."""


def weighted(examples: Sequence[Example], how: str) -> tuple[Example, ...]:
    """The same examples, those of the training split with their weight.

    `how` is the setting `train.weights`. Dev and gate stay as they are (weight 1).
    """
    train = [e for e in examples if e.split == "train"]
    kinds = _kinds(train)
    weights = iter(evened([kinds[e.domain, e.learning_type] * _evidence(e, how) for e in train]))
    return tuple(replace(e, weight=next(weights)) if e.split == "train" else e for e in examples)


def evened(weights: Sequence[float]) -> list[float]:
    """The weights with mean 1.

    If a few have nearly all of it, they are drawn together (by square roots) until enough carry it.
    """
    if not weights:
        return []
    while effective(weights) < LEAST_EFFECTIVE * len(weights):
        weights = [w**0.5 for w in weights]
    mean = math.fsum(weights) / len(weights)
    return [w / mean for w in weights]


def effective(weights: Sequence[float]) -> float:
    """The number of examples of equal weight that are worth as much: (sum w)^2 / sum w^2."""
    return math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)


def _kinds(train: Sequence[Example]) -> dict[tuple[str, str], float]:
    """The weight of each kind of work."""
    sizes = Counter((e.domain, e.learning_type) for e in train)
    scale = len(train) / sum(n**0.5 for n in sizes.values()) if sizes else 1.0
    return {group: min(HEAVIEST, max(LIGHTEST, scale * n**-0.5)) for group, n in sizes.items()}


def _evidence(example: Example, how: str) -> float:
    """The weight of the evidence for an example's text."""
    if how == "quality":
        return min(MOST_QUALITY, max(LEAST_QUALITY, math.exp(2 * example.score - 1)))
    if how == "feedback" and example.liked is not None:
        return LIKED if example.liked else DISLIKED
    return 1.0
