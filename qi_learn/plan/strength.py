"""How far a training may move the answers: a budget of KL divergence.

This one dial becomes the strengths of the two penalties:

    lambda = price x kappa x tightened

* `price`: nats of loss that a nat of measured divergence costs (more if nothing else protects). The
  dial sets it: what a change gains grows with its size and what it costs with the square, so the
  divergence at which both balance falls with the square of the price, and half the budget asks for
  1.4 times the price.
* `kappa`: measured over predicted divergence of the last run. The Fisher's quadratic form is an
  approximation, and the penalty is made of it; times kappa it is in nats that were measured. Before
  the first measurement: what the embedded base showed.
* `tightened`: the controller. The last run's divergence is carried over to the strength planned now
  (it falls with its square). If that is still over one and a half budgets, the strength doubles; if
  it is under two thirds of one, an earlier doubling is taken back. Never below 1: the budget is a
  limit, not a target, and a run that had little to learn is no reason to protect less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from qi_learn.records import Divergence, PenaltyStrength, Plan, TrainResult

NORMAL = 0.02
"""The budget at which the prices below hold: the default of `train.kl_budget`, nats per target
token.
"""
Part = Literal["general", "past"]
PARTS: tuple[Part, ...] = ("general", "past")
EXPECTED: Mapping[tuple[str, Part], float] = {
    ("kfac", "general"): 50.0,
    ("kfac", "past"): 100.0,
    ("diagonal", "general"): 30.0,
    ("diagonal", "past"): 110.0,
}
"""kappa before anything was measured: what SmolLM2 showed. It is so far from 1 because modules
learn in concert: 70 of them push the same answers the same way, and each is predicted as if it
moved alone. A small random change has a kappa of about 1.
"""
SPREAD = 4.0
"""A measured kappa is believed between a quarter of the expected one and four times it."""
PRICE: Mapping[tuple[str, Part], float] = {
    ("kfac", "general"): 2.0,
    ("kfac", "past"): 3.0,
    ("diagonal", "general"): 30.0,
    ("diagonal", "past"): 10.0,
}
"""Prices at the normal budget. With the expected kappas these are the lambdas 100 and 300, which
were measured to keep what was learned (docs/internals/decisions/0005), and about 1,000 for the
diagonal form: it sees less of the direction of a change, so that it protects less at the same
price.
"""
TIGHTEST = 16.0
OVER, UNDER = 1.5, 1 / 1.5
NOTHING = "nothing was measured yet"
KEPT = "the last run could not be measured; what was known before it still counts"
ALONE = (
    "no text of past work is kept, so that nothing of it is measured; the price alone was chosen "
    "for that"
)


@dataclass(frozen=True, slots=True)
class LastStrength:
    """The same penalty in the last run."""

    value: float
    strength: PenaltyStrength | None
    """How the value came about; None: set by hand."""
    divergence: Divergence | None
    """How far the answers moved; None: not measured."""
    form: str


def last_strength(part: Part, plan: Plan, result: TrainResult) -> LastStrength:
    """One penalty of a run that is over."""
    held = plan.penalties
    if part == "general":
        value, made = held.lambda_general, held.general_strength
        return LastStrength(value, made, result.divergence_general, held.fisher)
    value, made = held.lambda_past, held.past_strength
    return LastStrength(value, made, result.divergence_past, held.fisher)


def strength(
    part: Part, budget: float, form: str, last: LastStrength | None = None, *, dearer: float = 1.0
) -> PenaltyStrength:
    """The strength of one penalty for the next run, with the reason.

    `dearer` multiplies the price if nothing else protects. kappa is then the expected one, whatever
    earlier runs measured, since the price was chosen with that one.
    """
    price, expected = dearer * PRICE[form, part] * math.sqrt(NORMAL / budget), EXPECTED[form, part]
    if dearer != 1:
        return PenaltyStrength(price, expected, 1.0, ALONE)
    untested = PenaltyStrength(price, expected, 1.0, NOTHING)
    if last is None or last.form != form:
        return untested
    latest, divergence = last.strength or untested, last.divergence
    if divergence is None:
        return replace(latest, price=price, reason=NOTHING if latest.reason == NOTHING else KEPT)
    tightened = latest.tightened
    measured = divergence.kappa
    kappa = (
        expected if measured is None else min(max(measured, expected / SPREAD), expected * SPREAD)
    )
    carried = divergence.measured * (last.value / (price * kappa * tightened)) ** 2
    if carried > OVER * budget:
        tightened = min(2 * tightened, TIGHTEST)
    elif carried < UNDER * budget:
        tightened = max(tightened / 2, 1.0)
    return PenaltyStrength(price, kappa, tightened, _reason(divergence, budget, carried, kappa))


def _reason(divergence: Divergence, budget: float, carried: float, kappa: float) -> str:
    moved = f"the last run moved {divergence.measured:.3g} of a budget of {budget:g}"
    measured = divergence.kappa
    if measured is None:
        return f"{moved}; kappa was not measured"
    bounded = "" if math.isclose(kappa, measured) else f", bounded from {measured:.3g}"
    return f"{moved}, {carried:.3g} at this price and kappa{bounded}"


def divergence_sentences(result: TrainResult, budget: float) -> Iterator[str]:
    """How far a run moved the answers, against the budget."""
    for what, divergence in (
        ("from the base on general code", result.divergence_general),
        ("from the live version on past work", result.divergence_past),
    ):
        if divergence is None:
            continue
        moved, kappa = divergence.measured, divergence.kappa
        predicted = (
            "" if kappa is None else f", {divergence.predicted:.3g} predicted (kappa {kappa:.3g})"
        )
        yield (
            f"moved {moved:.3g} nat of KL a token {what}{predicted}: "
            f"{_compared(moved / budget)} the budget of {budget:g}"
        )


def _compared(share: float) -> str:
    return "far over" if share > OVER else "about" if share >= UNDER else "well within"
