"""Ship or not: rules 1 to 6 of the gate in their order, over what was measured.

Each rule gives its number, its interval, its limit and a sentence.

A pure function: the same measurements give the same verdict. Most rules are against the version
that is live. Earlier work is against the best that any live version had; speed, template, secrets,
form, the total rise and tasks solved are also, or only, against the base. Superiority is asked only
on what the person wrote, all else must merely not become worse. What could not be measured is not
passed: a missing or broken number refuses. Limits are contracts, not settings.

Every rule must hold, so none needs a correction for their number: a candidate that is truly too bad
by one of them ships at most as often as that rule alone errs, whatever the others find. How sure
rule 2 must be depends on how often this live version was challenged before (`ledger`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qi_learn.errors import Refused
from qi_learn.gate.advice import helps_of
from qi_learn.gate.answer_rules import accuracy_check, coherence_check
from qi_learn.gate.decline import COHERENCE, LIKENESS
from qi_learn.gate.execution_rule import mcnemar_rule
from qi_learn.gate.ledger import NextLook
from qi_learn.gate.likelihood_rules import (
    earlier_work_check,
    earlier_work_rise,
    general_checks,
    general_rises,
)
from qi_learn.gate.limits import TIE
from qi_learn.gate.measurements import CandidateFindings, Comparison, Likelihoods, ReportedOnly
from qi_learn.gate.paired_changes import Changes, changes_of
from qi_learn.gate.regressions import regressions_of
from qi_learn.gate.soundness_rules import soundness_checks
from qi_learn.gate.summary import notes_of, numbers_of, risk_of, rollback_plan
from qi_learn.gate.superiority import measure_superiority, superiority_check
from qi_learn.records import Check, Verdict


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
    look: NextLook | None = None,
) -> Verdict:
    """The verdict on a candidate against the version `compared_with`.

    `rollback_to`: the version that a rollback leads to; `look`: the terms of this look, those of
    the first one if there were none before. Raises ValueError if two measurements that must be
    paired are of different examples.
    """
    reported, look = reported or ReportedOnly(), look or NextLook()
    changes = changes_of(models, look)
    regressions = regressions_of(
        changes.rises, changes.likeness, models.candidate.execution, models.live.execution
    )
    checks = (
        *soundness_checks(models.candidate, models.base, findings),
        *_checks(models, changes),
    )
    by_name = {check.name: check for check in checks}
    ships = all(check.passed for check in checks)
    return Verdict(
        ships=ships,
        checks=checks,
        notes=tuple(notes_of(by_name, models, regressions, reported)),
        risk=risk_of(by_name, changes.rises, findings.scale)
        if ships
        else "none: what was live stays live",
        rollback_plan=rollback_plan(rollback_to, reported.rollback_seconds)
        if ships
        else "nothing to roll back",
        scale=findings.scale,
        compared_with=compared_with,
        numbers=numbers_of(by_name, changes, regressions, models, reported),
        helps=() if ships else helps_of(by_name, changes, reported.own),
    )


def likelihood_checks(
    candidate: Likelihoods, live: Likelihoods, base: Likelihoods, look: NextLook | None = None
) -> tuple[Check, ...]:
    """The rules that need no server: better on fresh work, not worse on anything else.

    Raises ValueError as `give_verdict`.
    """
    return (
        superiority_check(measure_superiority(candidate.gate, live.gate, look or NextLook())),
        earlier_work_check(candidate.old, earlier_work_rise(candidate, live, base)),
        *general_checks(general_rises(candidate, live, base)),
    )


def _checks(models: Comparison, changes: Changes) -> tuple[Check, ...]:
    """Rules 2 to 6, in the order in which a verdict lists them."""
    candidate, live, base = models.candidate, models.live, models.base
    return (
        superiority_check(changes.superiority),
        accuracy_check(changes.likeness, changes.declines.get(LIKENESS)),
        coherence_check(
            candidate.behaviour, live.behaviour, base.behaviour, changes.declines.get(COHERENCE)
        ),
        earlier_work_check(candidate.old, changes.earlier, models),
        *general_checks(changes.general),
        mcnemar_rule(candidate.execution, live.execution, base.execution),
    )
