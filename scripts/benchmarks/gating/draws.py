"""Draws for `scripts/bench gate`, spread over processes, and what a share of them says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from qi_learn.stats import incomplete_beta
from scripts.benchmarks.gating.noise import Real

SLICE = 10
"""Draws in one task of a process."""


class Bench:
    """Draws, spread over processes; the same for the same seed, however many there are."""

    def __init__(self, pool: ProcessPoolExecutor, seed: int) -> None:
        self._pool, self._seed = pool, seed

    def draw(self, name: str, tried: Callable[..., Any], draws: int) -> list[Any]:
        """What `tried(rng, real)` gives, so many times: `name` and the seed decide on it."""
        entropy = [self._seed, *name.encode()]
        sizes = [min(SLICE, draws - start) for start in range(0, draws, SLICE)]
        tasks = [
            self._pool.submit(several, tried, [*entropy, n], size) for n, size in enumerate(sizes)
        ]
        return [result for task in tasks for result in task.result()]

    def share(self, name: str, tried: Callable[..., bool], draws: int) -> float:
        """The share of draws that come true."""
        drawn = self.draw(name, tried, draws)
        share: float = round(sum(drawn) / len(drawn), 4)
        say(f"{name}: {share:.1%} of {len(drawn)}")
        return share


def several(tried: Callable[..., Any], entropy: list[int], draws: int) -> list[Any]:
    """So many draws, in a process of the pool."""
    rng = np.random.default_rng(entropy)
    return [tried(rng, real()) for _ in range(draws)]


@cache
def real() -> Real:
    """The measured differences, read once a process."""
    return Real.read()


def upper_bound(count: int, draws: int) -> float:
    """The share above which so few would come in at most 5 % of the cases (Clopper, Pearson)."""
    low, high = count / draws, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        as_few = 1 - incomplete_beta(middle, count + 1, draws - count) if count < draws else 1.0
        low, high = (middle, high) if as_few > 0.05 else (low, middle)
    return round(high, 4)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
