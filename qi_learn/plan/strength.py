"""How far may it move: one dial, a budget of KL divergence, turned into the strengths of the two
penalties. No torch.

    lambda = price x kappa x tightened

* `price`: nats of loss that a nat of measured divergence costs (more where nothing else protects).
  The dial sets it: what a change gains grows with its size and what it costs with the square, so
  the divergence where both balance falls with the square of the price, and half the budget asks for
  1.4 times the price.
* `kappa`: measured over predicted divergence of the last run. The Fisher's quadratic form is an
  approximation, and the penalty is made of it; times kappa it is in nats that were measured. Before
  the first measurement: what the embedded base showed.
* `tightened`: the controller. The last run's divergence is carried over to the strength planned now
  (it falls with its square); if that is still over one and a half budgets, the strength doubles, if
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
"""kappa before anything was measured: what SmolLM2 showed. So far from 1 because modules learn in
concert: 70 of them push the same answers the same way, and each is predicted as if it moved alone.
A small change of chance has a kappa of about 1.
"""
SPREAD = 4.0
"""kappa is believed between a quarter of what is expected and four times it."""
PRICE: Mapping[tuple[str, Part], float] = {
    ("kfac", "general"): 2.0,
    ("kfac", "past"): 3.0,
    ("diagonal", "general"): 30.0,
    ("diagonal", "past"): 10.0,
}
"""At the normal budget. With the kappas expected these are the lambdas 100 and 300, which were
measured to keep what was learned (docs/decisions/0005), and about 1,000 for the diagonal form: it
sees less of where a change goes, so that it protects less at the same price.
"""
TIGHTEST = 16.0
OVER, UNDER = 1.5, 1 / 1.5
NOTHING = "nothing was measured yet"
KEPT = "the last run could not be measured; what was known before it still counts"
ALONE = "no text of past work is kept, so that nothing of it is measured; the price alone was chosen for that"


@dataclass(frozen=True, slots=True)
class LastStrength:
    """The same penalty in the last run: its strength, how it came about (None: set by hand), and
    how far the answers moved.
    """

    value: float
    strength: PenaltyStrength | None
    drift: Divergence | None
    form: str


def before(part: Part, plan: Plan, result: TrainResult) -> LastStrength:
    """One penalty of a run that is over."""
    if part == "general":
        return LastStrength(
            plan.penalties.lambda_general,
            plan.penalties.general_strength,
            result.divergence_general,
            plan.penalties.fisher,
        )
    return LastStrength(
        plan.penalties.lambda_past,
        plan.penalties.past_strength,
        result.divergence_past,
        plan.penalties.fisher,
    )


def strength(
    part: Part, budget: float, form: str, last: LastStrength | None = None, *, dearer: float = 1.0
) -> PenaltyStrength:
    """The strength of one penalty for the next run, with the reason. `dearer`: times the price
    where nothing else protects; then kappa is what is expected, whatever runs before it measured,
    since it was with that one that the price was chosen.
    """
    price, expected = dearer * PRICE[form, part] * math.sqrt(NORMAL / budget), EXPECTED[form, part]
    if dearer != 1:
        return PenaltyStrength(price, expected, 1.0, ALONE)
    known = PenaltyStrength(price, expected, 1.0, NOTHING)
    if last is None or last.form != form:
        return known
    known, drift = last.strength or known, last.drift
    if drift is None:
        return replace(known, price=price, reason=NOTHING if known.reason == NOTHING else KEPT)
    tightened = known.tightened
    measured = drift.kappa
    kappa = (
        expected if measured is None else min(max(measured, expected / SPREAD), expected * SPREAD)
    )
    carried = drift.measured * (last.value / (price * kappa * tightened)) ** 2
    if carried > OVER * budget:
        tightened = min(2 * tightened, TIGHTEST)
    elif carried < UNDER * budget:
        tightened = max(tightened / 2, 1.0)
    return PenaltyStrength(
        price, kappa, tightened, _reason(drift, budget, carried, measured, kappa)
    )


def _reason(
    drift: Divergence, budget: float, carried: float, measured: float | None, kappa: float
) -> str:
    told = f"the last run moved {drift.measured:.3g} of a budget of {budget:g}"
    if measured is None:
        return f"{told}; kappa was not measured"
    bounded = "" if math.isclose(kappa, measured) else f", bounded from {measured:.3g}"
    return f"{told}, {carried:.3g} at this price and kappa{bounded}"


def moved(result: TrainResult, budget: float) -> Iterator[str]:
    """How far a run moved the answers, against the budget."""
    for what, drift in (
        ("from the base on general code", result.divergence_general),
        ("from the live version on past work", result.divergence_past),
    ):
        if drift is not None:
            foreseen = (
                ""
                if drift.kappa is None
                else f", {drift.predicted:.3g} predicted (kappa {drift.kappa:.3g})"
            )
            yield f"moved {drift.measured:.3g} nat of KL a token {what}{foreseen}: {_judged(drift.measured / budget)} the budget of {budget:g}"


def _judged(share: float) -> str:
    return "far over" if share > OVER else "about" if share >= UNDER else "well within"
