"""Updates that must not ship, for `scripts/bench gate`: how often the gate takes them anyway."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from qi_learn.gate.mixed_model import CAUTIOUS, correlation_of, estimate
from scripts.benchmarks.gating.adversaries import ADVERSARIES, PARTLY
from scripts.benchmarks.gating.chains import chain_of_nothing, chain_that_helps_at_times
from scripts.benchmarks.gating.draws import Bench, upper_bound
from scripts.benchmarks.gating.noise import SHAPES, SHARED, Real, made_up, split_up
from scripts.benchmarks.gating.power import LEVEL, SESSIONS, ships

LONG = ("logits_x1.05_six_in_a_chain", "forgets_0.045_a_cycle", "optimist_30_looks")
"""Adversaries of many looks each."""


def adversaries(bench: Bench, draws: int, chains: int) -> dict[str, Any]:
    """The share of each adversary that ships, and the upper end of its 95 % interval."""
    counts = {name: chains if name in LONG else draws for name in ADVERSARIES}
    shares = {name: bench.share(name, tried, counts[name]) for name, tried in ADVERSARIES.items()}
    return {
        "adversaries": shares,
        "adversaries_upper": {
            name: upper_bound(round(share * counts[name]), counts[name])
            for name, share in shares.items()
        },
        "partly": {name: bench.share(name, tried, draws) for name, tried in PARTLY.items()},
    }


def errors(bench: Bench, draws: int, chains: int) -> dict[str, Any]:
    """Updates that do nothing: at single looks, and cycle after cycle."""
    of_nothing = bench.share("chain of nothing", chain_of_nothing, chains)
    at_times = bench.draw("chain that helps at times", chain_that_helps_at_times, chains)
    helped, rightly, wrongly = (sum(column) for column in zip(*at_times, strict=True))
    return {
        "type1": {
            sessions: bench.share(
                f"nothing, {sessions} sessions", partial(ships, sessions=sessions), draws
            )
            for sessions in SESSIONS
        },
        "type1_shapes": shapes(bench, draws),
        "type1_chain30": of_nothing,
        "type1_chain30_upper": upper_bound(round(of_nothing * chains), chains),
        "chain30_third": {
            "helpful": helped,
            "helpful_shipped": rightly,
            "nothing_shipped": wrongly,
            "false_share": round(wrongly / max(1, rightly + wrongly), 4),
        },
    }


def shapes(bench: Bench, draws: int) -> dict[str, dict[str, float]]:
    """Rule 2 alone at 5 %, by the shape of the differences, sessions, and their correlation."""
    return {
        shape: {
            f"{sessions}_sessions_rho_{rho:g}": bench.share(
                f"{shape}, {sessions} sessions, rho {rho:g}",
                partial(passes, shape=shape, sessions=sessions, rho=rho),
                draws,
            )
            for sessions in (2, 3, 5, 12)
            for rho in (SHARED, 0.3)
        }
        for shape in SHAPES
    }


def passes(
    rng: np.random.Generator, _: Real, *, shape: str, sessions: int, rho: float, n: int = 25
) -> bool:
    """Whether an update that does nothing passes for better.

    What earlier looks said of the correlation is what it is.
    """
    sizes = split_up(rng, n, sessions)
    units = [f"s{j}" for j, size in enumerate(sizes) for _ in range(size)]
    falls = made_up(rng, shape, sizes, rho).tolist()
    known = CAUTIOUS + correlation_of(rho, 40)
    return estimate(falls, [1.0] * n, units, known).p_above(0.0) <= LEVEL
