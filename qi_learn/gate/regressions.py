"""What a verdict may claim to be surely worse than before.

These are several tests at once, so their p-values are adjusted by Holm's method.

Shipping needs no such correction, since all its rules must hold. Here any one claim may be wrong,
and the chance that any is stays under 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qi_learn.gate.answer_rules import PairedChange
from qi_learn.gate.execution_rule import changed_tasks
from qi_learn.gate.limits import RISE, RISE_FROM_BASE, SURE
from qi_learn.gate.mixed_model import Estimate
from qi_learn.records import Execution
from qi_learn.stats import holm, mcnemar_mid_p, t_cdf


@dataclass(frozen=True, slots=True)
class Rise:
    """How much more surprised a candidate is by a suite, in nats a token."""

    what: str
    since: Estimate
    """Since the live version; on earlier work since that of all versions that were live from which
    most was lost.
    """
    since_base: Estimate | None
    """None if the base's numbers are none."""
    versions: int = 1
    """How many `since` is the largest of."""

    @property
    def p(self) -> float:
        """One-sided p-value of "no worse than any of the versions" (Bonferroni)."""
        return min(1.0, self.versions * self.since.p_above(0.0))

    @property
    def used(self) -> float:
        """The share that it uses of the nearer limit, since then or since the base; 0 of a fall."""
        base = self.since_base.mean if self.since_base is not None else 0.0
        return max(0.0, self.since.mean / RISE, base / RISE_FROM_BASE)


Rises = Mapping[str, Rise | None]
"""By suite; None for a suite that is empty or was not measured."""


@dataclass(frozen=True, slots=True)
class Regression:
    """The claim that a candidate is worse on one suite."""

    words: str
    p: float
    """Adjusted for all claims of the verdict."""

    @property
    def sure(self) -> bool:
        """True if the verdict may state the claim."""
        return self.p <= SURE


def regressions_of(
    rises: Rises, likeness: PairedChange | None, candidate: Execution, live: Execution
) -> dict[str, Regression]:
    """A claim for each suite that was measured.

    `likeness`: the change of the answers' likeness to the kept code.
    """
    claims = {
        name: (f"{rise.what}: {rise.since.mean:+.3f} nat a token", rise.p)
        for name, rise in rises.items()
        if rise
    }
    if likeness is not None:
        words = f"answers' likeness to the kept code: {likeness.mean:+.3f}"
        claims["answers"] = (words, _p_less_like(likeness))
    if (changed := changed_tasks(candidate, live)) is not None:
        claims["execution"] = (
            f"tasks solved by code that was run: {changed[0]} lost, {changed[1]} gained",
            mcnemar_mid_p(*changed),
        )
    adjusted = holm({name: p for name, (_, p) in claims.items()})
    return {name: Regression(words, adjusted[name]) for name, (words, _) in claims.items()}


def _p_less_like(change: PairedChange) -> float:
    """One-sided p-value of "no less like"."""
    if change.error == 0:
        return 0.0 if change.mean < 0 else 1.0
    return t_cdf(change.mean / change.error, change.answers - 1)
