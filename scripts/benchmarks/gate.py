"""How often the gate errs: adversaries that ship, and useful updates that do not.

Updates of known worth (gating/updates.py) go through the real `give_verdict`, as records:

    adversaries  what must not ship (gating/adversaries.py): the share that does, and the upper end
                 of its 95 % interval
    type1        nothing, at a single look at 5 %, by sessions; `type1_shapes` by the shape of the
                 differences, rule 2 alone
    chains       30 cycles of nothing (`type1_chain30`: any ships), and 30 of which a third help
    power        0.1 nat better on the person's tokens, answers equally good, at a single look at
                 5 %, by examples and sessions; by effect; by how much is known of the correlation
                 within sessions; by the share of turns that were kept as they were

`power_25_3` is 25 examples in 3 sessions, with the correlation known from some twenty earlier
looks. What is assumed stands in gating/updates.py and gating/noise.py. Progress goes to stderr; the
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from qi_learn.gate.ledger import NextLook, correlation_in
from qi_learn.gate.mixed_model import (
    CAUTIOUS,
    UNINFORMATIVE,
    Correlation,
    correlation_of,
    estimate,
)
from qi_learn.records import Verdict
from qi_learn.stats import incomplete_beta
from scripts.benchmarks.gating.adversaries import ADVERSARIES, PARTLY
from scripts.benchmarks.gating.chains import chain_of_nothing, chain_that_helps_at_times
from scripts.benchmarks.gating.noise import LAWS, SHAPES, SHARED, Real, made_up, split_up
from scripts.benchmarks.gating.updates import Held, Update, judge

EFFECT = 0.1
LEVEL = 0.05
EFFECTS = (0.02, 0.05, 0.1, 0.2)
SIZES = (25, 50, 100, 200)
SESSIONS = (2, 3, 4, 6, 8, 12)
KEPT = (0.0, 0.1, 0.3, 0.7)
HISTORIES: dict[str, Correlation] = {
    "nothing": CAUTIOUS,
    "5_looks": CAUTIOUS + correlation_of(SHARED, 10),
    "20_looks": CAUTIOUS + correlation_of(SHARED, 40),
    "all": correlation_of(SHARED, 1e5),
}
"""What is known of the correlation, by how many earlier looks of three sessions told it."""
KNOWN = HISTORIES["20_looks"]
MORE = 5
"""Times as many draws go to the figure that has a bar of its own, `power_25_3`."""
SLICE = 10
"""Draws in one task of a process."""
LONG = ("logits_x1.05_six_in_a_chain", "forgets_0.045_a_cycle", "optimist_30_looks")
"""Adversaries of many looks each."""


def main() -> None:
    given = options()
    began = time.monotonic()
    with ProcessPoolExecutor(given.processes) as pool:
        bench = Bench(pool, given.seed)
        result = {
            **adversaries(bench, given.draws, given.chains),
            **errors(bench, given.draws, given.chains),
            **power(bench, given.draws, quick=given.quick),
        }
    result |= {
        "draws": given.draws,
        "chains": given.chains,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures how often the gate errs.")
    parser.add_argument("--quick", action="store_true", help="few draws: about a minute")
    parser.add_argument("--draws", type=int, help="of every single update")
    parser.add_argument("--chains", type=int, help="of every chain of cycles")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.draws = given.draws or (20 if given.quick else 400)
    given.chains = given.chains or (4 if given.quick else 200)
    return given


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


# --- what must not ship ---------------------------------------------------------------------------


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


def upper_bound(count: int, draws: int) -> float:
    """The share above which so few would come in at most 5 % of the cases (Clopper, Pearson)."""
    low, high = count / draws, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        as_few = 1 - incomplete_beta(middle, count + 1, draws - count) if count < draws else 1.0
        low, high = (middle, high) if as_few > 0.05 else (low, middle)
    return round(high, 4)


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


# --- what must ship -------------------------------------------------------------------------------


def power(bench: Bench, draws: int, *, quick: bool) -> dict[str, Any]:
    """Updates that help, and updates that harm nothing."""
    table = {
        n: {
            sessions: bench.share(
                f"{EFFECT} nat, {n} examples in {sessions} sessions",
                partial(ships, effect=EFFECT, examples=n, sessions=sessions),
                draws,
            )
            for sessions in (SESSIONS if not quick else SESSIONS[1:2])
        }
        for n in (SIZES if not quick else SIZES[:2])
    }
    return {
        "power_25_3": bench.share(
            f"{EFFECT} nat, 25 examples in 3 sessions, more draws",
            partial(ships, effect=EFFECT),
            MORE * draws,
        ),
        "power": table,
        "power_by_effect": {
            effect: bench.share(f"{effect} nat", partial(ships, effect=effect), draws)
            for effect in EFFECTS
        },
        "power_by_history": {
            name: bench.share(
                f"{EFFECT} nat, {name} known of the correlation",
                partial(ships, effect=EFFECT, known=known),
                draws,
            )
            for name, known in HISTORIES.items()
        },
        "power_by_noise": {
            law: bench.share(
                f"{EFFECT} nat, noise: {law}", partial(ships_after_looks, law=law), draws
            )
            for law in LAWS
        },
        "power_first_look": bench.share(
            f"{EFFECT} nat at the level of a first look",
            partial(ships, effect=EFFECT, level=NextLook().level),
            draws,
        ),
        "power_first_cycle": {
            f"{effect}_nat_{sessions}_sessions": bench.share(
                f"{effect} nat, {sessions} sessions, the first cycle there is",
                partial(
                    ships,
                    effect=effect,
                    sessions=sessions,
                    level=NextLook().level,
                    known=CAUTIOUS,
                ),
                draws,
            )
            for effect in (0.1, 0.2, 0.4)
            for sessions in (3, 8)
        },
        "helpful_by_kept": {
            kept: bench.share(
                f"{EFFECT} nat, {kept:.0%} kept as they were",
                partial(ships, effect=EFFECT, kept=kept),
                draws,
            )
            for kept in KEPT
        },
        "harmless_by_kept": {
            kept: bench.share(
                f"harmless, {kept:.0%} kept as they were", partial(harmless, kept=kept), draws
            )
            for kept in KEPT
        },
    }


def ships(rng: np.random.Generator, real: Real, **how: Any) -> bool:
    """Whether an update ships at a single look."""
    return looked_at(rng, real, **how).ships


def ships_after_looks(rng: np.random.Generator, real: Real, *, law: str) -> bool:
    """Whether a useful update ships once looks under the same noise told of the correlation."""
    return looked_at(rng, real, effect=EFFECT, law=law, known=CAUTIOUS + told(law)).ships


@cache
def told(law: str, looks: int = 20, times: int = 3) -> Correlation:
    """What so many looks say on average: the sums of `times` as many, divided by it."""
    rng, found = np.random.default_rng(looks), UNINFORMATIVE
    for _ in range(looks * times):
        found += correlation_in(looked_at(rng, real(), law=law).numbers)
    return Correlation(found.excess / times, found.weight / times, found.freedom / times)


def harmless(rng: np.random.Generator, real: Real, **how: Any) -> bool:
    """Whether no rule but the second has anything against an update that does nothing."""
    checks = looked_at(rng, real, **how).checks
    return all(check.passed for check in checks if check.name != "domain_relevance")


def looked_at(
    rng: np.random.Generator,
    real: Real,
    *,
    effect: float = 0.0,
    examples: int = 25,
    sessions: int = 3,
    kept: float = 0.0,
    level: float = LEVEL,
    known: Correlation = KNOWN,
    law: str = "short_noisier",
) -> Verdict:
    """The verdict on an update that is better by `effect`, at a single look at `level`."""
    held = Held.draw(rng, examples, sessions, kept=kept)
    return judge(
        rng, real, Update(person=effect, law=law), held, NextLook(level=level, correlation=known)
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
