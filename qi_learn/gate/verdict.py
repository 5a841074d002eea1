"""Ship or not: the rules of the gate in their order, over what was measured.

Each rule gives its number, its interval, its limit and a sentence.

A pure function: the same measurements give the same verdict. Most rules are against the version
that is live. Speed, template, secrets, the total rise and tasks solved are also, or only, against
the base. Superiority is asked only on fresh work, all else must merely not become worse. What could
not be measured is not passed: a missing or broken number refuses. Limits are contracts, not
settings.

Every rule must hold, so none needs a correction for their number: a candidate that is truly too bad
by one of them ships at most as often as that rule alone errs, whatever the others find. How often
that is: docs/internals/decisions/0010.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qi_learn.errors import Refused
from qi_learn.gate.answer_rules import accuracy_check, coherence_check, likeness_change
from qi_learn.gate.execution_rule import mcnemar_rule
from qi_learn.gate.likelihood_rules import (
    earlier_work_check,
    fresh_work_check,
    general_check,
    rises_of,
)
from qi_learn.gate.limits import TIE
from qi_learn.gate.measurements import CandidateFindings, Comparison, Likelihoods, ReportedOnly
from qi_learn.gate.regressions import Rises, regressions_of
from qi_learn.gate.soundness_rules import soundness_checks
from qi_learn.gate.summary import notes_of, numbers_of, risk_of, rollback_plan
from qi_learn.records import Check, Verdict
from qi_learn.stats import Interval


def choose_scale(dev_by_scale: Mapping[float, float]) -> float:
    """The scale of the delta with the lowest NLL on dev.

    Among scales that differ from it by rounding alone it is the smallest, which moves the model
    least.

    No wider tie than that: to prefer a smaller scale within a standard error cost up to a tenth of
    what was learned (docs/internals/decisions/0010). Raises Refused if no scale gave a number.
    """
    measured = {scale: nll for scale, nll in dev_by_scale.items() if math.isfinite(nll)}
    if not measured:
        raise Refused(
            "No scale of the training result gives a number on the dev examples.",
            "The training diverged; the next cycle starts afresh.",
        )
    lowest = min(measured.values())
    return min(scale for scale, nll in measured.items() if nll <= lowest + TIE)


def give_verdict(
    models: Comparison,
    findings: CandidateFindings,
    *,
    compared_with: str,
    rollback_to: str,
    reported: ReportedOnly | None = None,
) -> Verdict:
    """The verdict on a candidate against the version `compared_with`.

    `rollback_to`: the version that a rollback leads to. Raises ValueError if two measurements that
    must be paired are of different examples.
    """
    reported = reported or ReportedOnly()
    rises = rises_of(models.candidate, models.live, models.base)
    likeness = likeness_change(models.candidate, models.live)
    regressions = regressions_of(rises, likeness, models.candidate.execution, models.live.execution)
    checks = _checks(models, findings, rises, likeness)
    by_name = {check.name: check for check in checks}
    ships = all(check.passed for check in checks)
    return Verdict(
        ships=ships,
        checks=checks,
        notes=tuple(notes_of(models, regressions, reported)),
        risk=risk_of(by_name, rises, findings.scale) if ships else "none: what was live stays live",
        rollback_plan=rollback_plan(rollback_to, reported.rollback_seconds)
        if ships
        else "nothing to roll back",
        scale=findings.scale,
        compared_with=compared_with,
        numbers=numbers_of(by_name, rises, regressions, models, reported),
    )


def likelihood_checks(
    candidate: Likelihoods, live: Likelihoods, base: Likelihoods
) -> tuple[Check, Check, Check]:
    """The rules that need no server.

    Better on fresh work, not worse on earlier work and on code in general. Raises ValueError as
    `give_verdict`.
    """
    return _by_likelihood(candidate, rises_of(candidate, live, base))


def _checks(
    models: Comparison, findings: CandidateFindings, rises: Rises, likeness: Interval | None
) -> tuple[Check, ...]:
    """Every rule, in the order in which a verdict lists them."""
    candidate, live, base = models.candidate, models.live, models.base
    fresh_work, earlier_work, general = _by_likelihood(candidate, rises)
    return (
        *soundness_checks(candidate, base, findings),
        fresh_work,
        accuracy_check(likeness, candidate.behaviour, live.behaviour),
        coherence_check(candidate.behaviour, live.behaviour),
        earlier_work,
        general,
        mcnemar_rule(candidate.execution, live.execution, base.execution),
    )


def _by_likelihood(candidate: Likelihoods, rises: Rises) -> tuple[Check, Check, Check]:
    return (
        fresh_work_check(rises["fresh_work"]),
        earlier_work_check(candidate, rises),
        general_check(candidate, rises),
    )
