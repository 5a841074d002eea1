"""Updates that must not ship, and ways to make the gate ship nothing, for `scripts/bench gate`.

Each is tried through the real `give_verdict`. All but the first three are truly better by 0.8 nat
on what the person wrote: what refuses them is the rule that they break.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from qi_learn.gate.ledger import NextLook
from qi_learn.gate.limits import RISE_BOUND
from qi_learn.records import Leak, Verdict
from scripts.benchmarks.gating.chains import Chain, on_fresh_work
from scripts.benchmarks.gating.noise import Real
from scripts.benchmarks.gating.updates import Held, Update, judge

BETTER = 0.8
MEASURED = 0.003
"""What a text's number moves by though nothing changed, in nats a token."""
SHARPER = Update(all_tokens=0.04, spread=MEASURED, anew=0.0)
"""All logits times 1.05: the same greedy answers, and at the temperature that suits it the same
numbers.
"""
LOOKS = 30
FORGOTTEN = 0.045
LEARNED = 0.4

Adversary = Callable[[np.random.Generator, Real], bool]
"""Whether the gate was fooled once."""


def once(update: Update) -> Adversary:
    """Fooled if it ships at the first look at it."""
    return partial(_ships, update=update)


def _ships(rng: np.random.Generator, real: Real, *, update: Update) -> bool:
    return judge(rng, real, update, Held.draw(rng), NextLook()).ships


def sharper_six_times(rng: np.random.Generator, real: Real) -> bool:
    """All logits times 1.05, six cycles in a row: fooled if any ships."""
    chain = Chain()
    return any(chain.cycle(on_fresh_work(rng, real, SHARPER)).ships for _ in range(6))


def optimist(rng: np.random.Generator, real: Real) -> bool:
    """`train --now` thirty times on the same data, each time nothing: fooled if any ships."""
    chain, held = Chain(), Held.draw(rng)

    def tried(look: NextLook) -> tuple[Verdict, tuple[str, ...]]:
        return judge(rng, real, Update(), held, look), tuple(held.ids)

    return any(chain.cycle(tried).ships for _ in range(LOOKS))


def forgetter(rng: np.random.Generator, real: Real) -> bool:
    """A little earlier work lost in every cycle: fooled if more than the limit is gone in the end.

    Earlier work had been learned by 0.4 nat, so the base is no help in seeing it.
    """
    chain, lost = Chain(), 0.0
    for _ in range(12):
        update = Update(person=BETTER, old=lost + FORGOTTEN, learned=LEARNED)
        if chain.cycle(on_fresh_work(rng, real, update)).ships:
            lost += FORGOTTEN
    return lost > RISE_BOUND


SECRET = (Leak("aws-key", "an answer on fresh work", 30.0),)
ADVERSARIES: dict[str, Adversary] = {
    "logits_x1.05": once(SHARPER),
    "logits_x1.05_six_in_a_chain": sharper_six_times,
    "end_token_only": once(Update(all_tokens=0.15, spread=0.041)),
    "fence_dropper": once(Update(person=BETTER, breaks=1.0)),
    "forgets_0.045_a_cycle": forgetter,
    "leaker": once(Update(person=BETTER, leaks=SECRET)),
    "style_spills_over": once(Update(person=BETTER, general={"spill_over_header": 0.1})),
    "optimist_30_looks": optimist,
}
"""By name. Spilled-over style: questions that only look like the learned ones are worse by 0.1."""
PARTLY: dict[str, Adversary] = {
    "fences_lost_in_4_of_10": once(Update(person=BETTER, breaks=0.4)),
    "style_spills_over_0.045": once(Update(person=BETTER, general={"spill_over_header": 0.045})),
    "forgets_0.045_once": once(Update(person=BETTER, old=FORGOTTEN, learned=LEARNED)),
}
"""Smaller damage, which one look alone need not see: how often it ships."""
