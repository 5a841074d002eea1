"""Updates that must ship at their rate, for `scripts/bench gate`, and one look at an update."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from qi_learn.gate.ledger import NextLook, correlation_in
from qi_learn.gate.mixed_model import CAUTIOUS, UNINFORMATIVE, Correlation, correlation_of
from qi_learn.records import Verdict
from scripts.benchmarks.gating.draws import Bench, real
from scripts.benchmarks.gating.noise import LAWS, MEASURED, SHARED, Real
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
    law: str = MEASURED,
) -> Verdict:
    """The verdict on an update that is better by `effect`, at a single look at `level`."""
    held = Held.draw(rng, examples, sessions, kept=kept)
    return judge(
        rng, real, Update(person=effect, law=law), held, NextLook(level=level, correlation=known)
    )
