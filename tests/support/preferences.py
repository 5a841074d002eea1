"""Pairs of texts for the tests of preferences, and their log-probabilities."""

from __future__ import annotations

import random
from collections.abc import Sequence

from qi_learn.records import Pair
from qi_learn.train.likelihood import log_probabilities
from qi_learn.train.network import Network
from qi_learn.train.preference import (
    Comparison,
    reference_samples,
)
from tests.support.tiny_training import (
    VOCABULARY,
    one_thread,  # noqa: F401 - a fixture
)


def pair(
    prompt: Sequence[int], chosen: Sequence[int], rejected: Sequence[int], *, name: str = "p"
) -> Pair:
    texts = tuple(prompt), tuple(chosen), tuple(rejected)
    return Pair(name, name, "edit" if chosen else "reject", "", "", "", *texts)


def edits(count: int, *, seed: int = 0, tag: str = "p") -> list[Pair]:
    """Targets that count up, as the tiny examples do, preferred to the same but one number."""
    rng = random.Random(seed)
    made = []
    for n in range(count):
        start = rng.randrange(3)
        chosen = list(range(start, start + 12))
        at = rng.randrange(3, 9)
        rejected = [*chosen[:at], 36, *chosen[at + 1 :]]
        made.append(
            pair(
                [rng.randrange(VOCABULARY) for _ in range(rng.randint(2, 6))],
                chosen,
                rejected,
                name=f"{tag}{n}",
            )
        )
    return made


def rejects(count: int, *, seed: int = 5) -> list[Pair]:
    rng = random.Random(seed)
    return [
        pair(
            [rng.randrange(VOCABULARY) for _ in range(4)],
            (),
            [rng.randrange(VOCABULARY) for _ in range(8)],
            name=f"r{n}",
        )
        for n in range(count)
    ]


def reference_of(network: Network, compared: Sequence[Comparison]) -> dict[str, float]:
    every = reference_samples(compared)
    return dict(zip((s.id for s in every), log_probabilities(network, every, 4), strict=True))
