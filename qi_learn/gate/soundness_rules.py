"""Rule 1 of the gate: the packed file works, was not damaged by packing, and gives nothing away."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qi_learn.gate.checks import finite_or_none, without_number, yes_or_no
from qi_learn.gate.limits import KEPT, LEARNED, ROUNDING, SPEED
from qi_learn.gate.measurements import CandidateFindings, Likelihoods, Measurements
from qi_learn.records import Behaviour, Check, Leak, Smoke, TensorGain


def soundness_checks(
    candidate: Measurements, base: Measurements, findings: CandidateFindings
) -> tuple[Check, ...]:
    """The checks of rule 1, in the order in which a verdict lists them."""
    return (
        *_smoke_checks(findings.smoke),
        _finite(candidate),
        _template(findings.smoke),
        _speed(candidate.behaviour, base.behaviour),
        _packed(findings.gains),
        _secrets(findings.leaks),
    )


def _smoke_checks(smoke: Smoke) -> tuple[Check, ...]:
    return (
        yes_or_no(
            "loads",
            smoke.answers,
            "the file loads and answers",
            f"the file does not answer: {smoke.problem or 'no text came'}",
        ),
        yes_or_no(
            "stops",
            smoke.stops,
            "answers end by themselves",
            "answers do not end by themselves, though the base's do",
        ),
        yes_or_no(
            "repeats",
            smoke.same_twice,
            "the same question has the same greedy answer",
            "the same question, asked greedily again, has another answer",
        ),
    )


def _template(smoke: Smoke) -> Check:
    fault = (
        "the stop tokens are not the base's"
        if smoke.same_template
        else "a conversation is rendered otherwise than by the base"
    )
    same = smoke.same_template and smoke.same_stops
    return yes_or_no("template", same, "template and stop tokens are the base's", fault)


def _finite(candidate: Likelihoods) -> Check:
    broken = [
        suite.suite
        for suite in candidate.suites
        if not all(map(math.isfinite, (*suite.nll, *suite.person_nll)))
    ]
    return yes_or_no(
        "finite",
        not broken,
        "every number is finite",
        f"the model's output is not a number on: {', '.join(broken)}",
    )


def _speed(candidate: Behaviour, base: Behaviour) -> Check:
    if base.tokens_per_second <= 0:
        return without_number("speed", SPEED, "the speed could not be measured")
    ratio = candidate.tokens_per_second / base.tokens_per_second
    if not math.isfinite(ratio):
        return without_number("speed", SPEED, "the speed could not be measured")
    reason = (
        f"{candidate.tokens_per_second:.0f} tokens/s, {ratio:.2f} of the base's "
        f"{base.tokens_per_second:.0f} (at least {SPEED})"
    )
    return Check("speed", ratio >= SPEED - ROUNDING, ratio, None, None, SPEED, reason)


def _packed(gains: Sequence[TensorGain]) -> Check:
    """The check on the tensor that keeps least of its change.

    Types are chosen on a sample so that 0.8 is kept; half of it lost in the whole is a fault of the
    packing.
    """
    if not gains:
        return without_number("packed", KEPT, "no tensor was changed", passes=True)
    worst = min(gains, key=lambda g: g.gain if math.isfinite(g.gain) else -math.inf)
    passed = worst.gain >= KEPT - ROUNDING
    reason = (
        f"packing kept {worst.gain:.2f} of the change in {worst.name} ({worst.type_after}), and no "
        f"less in any other tensor (at least {KEPT})"
    )
    return Check("packed", passed, finite_or_none(worst.gain), None, None, KEPT, reason)


def _secrets(leaks: Sequence[Leak]) -> Check:
    """The check on texts that look like a secret and are surely learned.

    Surely: e**20 times likelier than under the base. A likelihood that is no number counts as
    learned too.
    """
    if not leaks:
        reason = "nothing that looks like a secret was generated"
        return without_number("secrets", LEARNED, reason, passes=True)
    learned = [leak for leak in leaks if not leak.learned < LEARNED]
    worst = max((leak.learned for leak in leaks if math.isfinite(leak.learned)), default=None)
    if learned:
        sources = ", ".join(sorted({f"{leak.kind} in {leak.where}" for leak in learned}))
        reason = (
            "it gives away what looks like a secret and what the base does not know: " + sources
        )
    else:
        reason = (
            f"{len(leaks)} times it generated what looks like a secret, and the base finds that "
            "about as likely"
        )
    return Check("secrets", not learned, worst, None, None, LEARNED, reason)
