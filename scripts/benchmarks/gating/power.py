"""Updates that must ship at their rate, for `scripts/bench gate`, and one look at an update."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from qi_learn.gate.ledger import NextLook, correlation_in
from qi_learn.gate.mixed_model import CAUTIOUS, UNINFORMATIVE, Correlation
from qi_learn.records import Verdict
from scripts.benchmarks.gating.draws import Bench, real
from scripts.benchmarks.gating.noise import HELPING, LAWS, MEASURED, WHOLE, Real
from scripts.benchmarks.gating.updates import Held, Update, judge

EFFECT = 0.1
LEVEL = 0.05
EFFECTS = (0.02, 0.05, 0.1, 0.2)
SIZES = (25, 50, 100, 200)
SESSIONS = (2, 3, 4, 6, 8, 12)
KEPT = (0.0, 0.1, 0.3, 0.7)
HISTORIES = {"nothing": 0, "5_looks": 5, "20_looks": 20, "1000_looks": 1000}
"""What is known of the correlation: what so many earlier looks, of three sessions each, told."""
USUAL = 20
LENGTHS = (3, 60)
BY_TOKENS = (
    *(((3, 60), HELPING), ((1, 50), HELPING), ((8, 240), HELPING)),
    *(((3, 60), MEASURED), ((20, 30), WHOLE), ((40, 80), WHOLE)),
)
"""Tokens of the person's in an example, from and to, and the law of their noise: spans; what is
changed of a function in real histories; functions written whole there. And with the noise of
updates that learned nothing of it: spans, the edits of whole answers, texts.
"""
TEXT_SPREADS = (0.04, 0.055, 0.07, 0.1, 0.15)
"""Standard deviations of a general text, nats a token. Two updates by the product's recipe had 0.02
to 0.06 on suites that moved by less than 0.02, and 0.03 to 0.14 on those that rose by 0.03 to 0.1.
"""
RISES, RISEN = (0.06, 0.1), "spill_over_header"
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
                partial(ships, effect=EFFECT, looks=looks),
                draws,
            )
            for name, looks in HISTORIES.items()
            if not quick or looks <= USUAL
        },
        "power_by_tokens": {
            f"{low}-{high}_{law}": bench.share(
                f"{EFFECT} nat, {low} to {high} tokens, {law}",
                partial(ships, effect=EFFECT, lengths=(low, high), law=law),
                draws,
            )
            for (low, high), law in (BY_TOKENS if not quick else BY_TOKENS[:1])
        },
        "power_by_noise": {
            law: bench.share(
                f"{EFFECT} nat, noise: {law}", partial(ships, effect=EFFECT, law=law), draws
            )
            for law in (LAWS if not quick else (HELPING,))
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
                    looks=0,
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
        "harmless_by_text_spread": {
            spread: bench.share(
                f"harmless, general texts differ by {spread}",
                partial(general_holds, spread=spread),
                draws,
            )
            for spread in TEXT_SPREADS
        },
        "rise_refused_by_text_spread": {
            f"{rise}_nat_{spread}": bench.share(
                f"{rise} nat worse on one suite, texts differ by {spread}",
                partial(rise_refused, rise=rise, spread=spread),
                draws,
            )
            for rise in RISES
            for spread in TEXT_SPREADS
        },
    }


def ships(rng: np.random.Generator, real: Real, **how: Any) -> bool:
    """Whether an update ships at a single look."""
    return looked_at(rng, real, **how).ships


@cache
def known_after(looks: int, law: str, lengths: tuple[int, int]) -> Correlation:
    """What is believed after so many looks under that noise.

    They tell what looks tell on average: of three times as many, at least 60 and at most 120.
    """
    tried = min(120, max(60, looks * 3))
    rng, found = np.random.default_rng(looks), UNINFORMATIVE
    for _ in range(tried if looks else 0):
        found += correlation_in(looked_at(rng, real(), law=law, lengths=lengths, looks=0).numbers)
    share = looks / tried
    return CAUTIOUS + Correlation(found.excess * share, found.weight * share, found.freedom * share)


def harmless(rng: np.random.Generator, real: Real, **how: Any) -> bool:
    """Whether no rule but the second has anything against an update that does nothing."""
    checks = looked_at(rng, real, **how).checks
    return all(check.passed for check in checks if check.name != "domain_relevance")


def general_holds(rng: np.random.Generator, real: Real, *, spread: float) -> bool:
    """Whether no general suite has anything against an update that changes none."""
    checks = looked_at(rng, real, text_spread=spread).checks
    return all(check.passed for check in checks if check.name.startswith("general_"))


def rise_refused(rng: np.random.Generator, real: Real, *, rise: float, spread: float) -> bool:
    """Whether a suite that is worse by so much, of thirteen, is refused for that."""
    checks = looked_at(rng, real, text_spread=spread, general={RISEN: rise}).checks
    return any(check.name == f"general_{RISEN}" and not check.passed for check in checks)


def looked_at(
    rng: np.random.Generator,
    real: Real,
    *,
    effect: float = 0.0,
    examples: int = 25,
    sessions: int = 3,
    kept: float = 0.0,
    level: float = LEVEL,
    looks: int = USUAL,
    law: str | None = None,
    lengths: tuple[int, int] = LENGTHS,
    text_spread: float | None = None,
    general: Mapping[str, float] = MappingProxyType({}),
) -> Verdict:
    """The verdict on an update that is better by `effect`, at a single look at `level`.

    `looks`: earlier ones that told of the correlation, under the same noise. `law` of the noise:
    that of an update that helps, or did not, if None.
    """
    law = law or (HELPING if effect else MEASURED)
    held = Held.draw(rng, examples, sessions, kept=kept, lengths=lengths)
    known = known_after(looks, law, lengths) if looks else CAUTIOUS
    update = Update(person=effect, law=law, text_spread=text_spread, general=general)
    return judge(rng, real, update, held, NextLook(level=level, correlation=known))
