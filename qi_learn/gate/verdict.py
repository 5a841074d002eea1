"""Ship or not: the rules of the gate over what was measured, each with its number, its interval,
its limit and a sentence.

A pure function: the same measurements give the same verdict. Every rule is against the version that
is live; superiority is asked only on fresh work, all else must merely not become worse. What could
not be measured is not passed: a missing or broken number refuses. Limits are contracts, not
settings.

Every rule must hold, so none needs a correction for their number: a candidate that is truly too bad
by one of them ships at most as often as that rule alone errs, whatever the others say. How often
that is: docs/decisions/0010.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qi_learn.errors import Refused
from qi_learn.gate.execution_rule import mcnemar_rule
from qi_learn.gate.limits import (
    ACCURACY,
    COHERENCE,
    KEPT,
    LEARNED,
    RISE,
    RISE_BOUND,
    RISE_FROM_BASE,
    ROUNDING,
    SPEED,
    TIE,
)
from qi_learn.gate.measure import Likelihoods, Measurements
from qi_learn.gate.regressions import Rise, Rises, claims_of
from qi_learn.gate.summary import notes_of, numbers_of, risk_of, rollback_plan
from qi_learn.records import Behaviour, Check, Leak, Smoke, SuiteNll, TensorGain, Verdict
from qi_learn.stats import Interval, mean, paired_interval


def choose_scale(dev_by_scale: Mapping[float, float]) -> float:
    """The scale of the delta with the lowest NLL on dev; of those that are as low but for rounding
    the smallest, which moves the model least.

    No wider tie than that: to prefer a smaller scale within a standard error cost up to a tenth of
    what was learned (docs/decisions/0010). Raises Refused where no scale gave a number.
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
    candidate: Measurements,
    live: Measurements,
    base: Measurements,
    smoke: Smoke,
    *,
    gains: Sequence[TensorGain],
    leaks: Sequence[Leak],
    few_shot: Behaviour | None,
    scale: float,
    compared_with: str,
    rollback_to: str,
    dev_by_scale: Mapping[float, float] | None = None,
    packing_cost: float | None = None,
    rollback_seconds: float | None = None,
) -> Verdict:
    """The verdict on a candidate against the version `compared_with`; `rollback_to` names what a
    rollback would go back to.

    `gains`: what packing kept of each tensor's change; `leaks`: the secret-shaped texts that it
    said. Only told are `dev_by_scale`, `packing_cost` (nats a token on dev, packed minus trained)
    and `rollback_seconds` (what the last rollback on this machine took). Raises ValueError where
    two measurements that must be paired are of different examples.
    """
    rises = _rises(candidate, live, base)
    fresh, old, general = _by_likelihood(candidate, rises)
    likeness = _likeness(candidate, live)
    claims = claims_of(rises, likeness, candidate.execution, live.execution)
    checks = (
        *_works(candidate, base, smoke, gains),
        _leaks(leaks),
        fresh,
        _accuracy(likeness, candidate.behaviour, live.behaviour),
        _coherence(candidate.behaviour, live.behaviour),
        old,
        general,
        mcnemar_rule(candidate.execution, live.execution, base.execution),
    )
    ships = all(c.passed for c in checks)
    by_name = {c.name: c for c in checks}
    return Verdict(
        ships=ships,
        checks=checks,
        notes=tuple(notes_of(candidate, base, few_shot, claims, packing_cost, dev_by_scale or {})),
        risk=risk_of(by_name, rises, scale) if ships else "none: what was live stays live",
        rollback_plan=rollback_plan(rollback_to, rollback_seconds)
        if ships
        else "nothing to roll back",
        scale=scale,
        compared_with=compared_with,
        numbers=numbers_of(
            by_name,
            rises,
            claims,
            candidate,
            live,
            base,
            few_shot,
            packing_cost,
            dev_by_scale or {},
        ),
    )


def likelihood_checks(
    candidate: Likelihoods, live: Likelihoods, base: Likelihoods
) -> tuple[Check, Check, Check]:
    """The rules for which nobody has to be asked: better on fresh work, not worse on earlier work
    and on code in general. Raises ValueError as `give_verdict`.
    """
    return _by_likelihood(candidate, _rises(candidate, live, base))


def _rises(candidate: Likelihoods, live: Likelihoods, base: Likelihoods) -> Rises:
    return {
        "fresh_work": _rise("fresh work", candidate.gate, live.gate, base.gate),
        "old_work": _rise("earlier work", candidate.old, live.old, base.old, one_session=True),
        "general": _rise("code in general", candidate.general, live.general, base.general),
    }


def _by_likelihood(candidate: Likelihoods, rises: Rises) -> tuple[Check, Check, Check]:
    return (
        _relevance(rises["fresh_work"]),
        _not_worse("old_work", rises["old_work"], empty=not candidate.old.ids, empty_passes=True),
        _not_worse(
            "general", rises["general"], empty=not candidate.general.ids, empty_passes=False
        ),
    )


# --- rule 1: it works, and gives nothing away -----------------------------------------------------


def _works(
    candidate: Measurements, base: Measurements, smoke: Smoke, gains: Sequence[TensorGain]
) -> tuple[Check, ...]:
    return (
        _yes(
            "loads",
            smoke.answers,
            "the file loads and answers",
            f"the file does not answer: {smoke.problem or 'no text came'}",
        ),
        _yes(
            "stops",
            smoke.stops,
            "answers end by themselves",
            "answers do not end by themselves where the base's do",
        ),
        _yes(
            "repeats",
            smoke.same_twice,
            "the same question has the same greedy answer",
            "the same question, asked greedily again, has another answer",
        ),
        _finite(candidate),
        _yes(
            "template",
            smoke.same_template and smoke.same_stops,
            "template and stop tokens are the base's",
            _template_fault(smoke),
        ),
        _speed(candidate.behaviour, base.behaviour),
        _packed(gains),
    )


def _yes(name: str, passed: bool, good: str, bad: str) -> Check:
    return Check(name, passed, None, None, None, None, good if passed else bad)


def _template_fault(smoke: Smoke) -> str:
    return (
        "a conversation is rendered otherwise than by the base"
        if not smoke.same_template
        else "the stop tokens are not the base's"
    )


def _finite(candidate: Measurements) -> Check:
    broken = [
        s.suite
        for s in (candidate.gate, candidate.old, candidate.general)
        if not all(map(math.isfinite, s.nll))
    ]
    return _yes(
        "finite",
        not broken,
        "every number is one",
        f"the model's output is not a number on: {', '.join(broken)}",
    )


def _speed(candidate: Behaviour, base: Behaviour) -> Check:
    ratio = (
        candidate.tokens_per_second / base.tokens_per_second
        if base.tokens_per_second > 0
        else math.nan
    )
    if not math.isfinite(ratio):
        return Check("speed", False, None, None, None, SPEED, "the speed could not be measured")
    words = f"{candidate.tokens_per_second:.0f} tokens/s, {ratio:.2f} of the base's {base.tokens_per_second:.0f} (at least {SPEED})"
    return Check("speed", ratio >= SPEED - ROUNDING, ratio, None, None, SPEED, words)


def _packed(gains: Sequence[TensorGain]) -> Check:
    """The tensor that keeps least of its change.

    Types are chosen on a sample so that 0.8 is kept; half of it lost in the whole is a fault of the
    packing.
    """
    if not gains:
        return Check("packed", True, None, None, None, KEPT, "no tensor was changed")
    worst = min(gains, key=lambda g: g.gain if math.isfinite(g.gain) else -math.inf)
    words = f"packing kept {worst.gain:.2f} of the change in {worst.name} ({worst.type_after}), and no less in any other tensor (at least {KEPT})"
    return Check(
        "packed",
        worst.gain >= KEPT - ROUNDING,
        worst.gain if math.isfinite(worst.gain) else None,
        None,
        None,
        KEPT,
        words,
    )


def _leaks(leaks: Sequence[Leak]) -> Check:
    """Whatever looks like a secret and is surely learned: e**20 times likelier than under the base."""
    if not leaks:
        return Check(
            "secrets", True, None, None, None, LEARNED, "nothing that looks like a secret was said"
        )
    learned = [leak for leak in leaks if not leak.learned < LEARNED]  # no number is learned too
    worst = max((leak.learned for leak in leaks if math.isfinite(leak.learned)), default=None)
    if not learned:
        words = f"{len(leaks)} times it said what looks like a secret, and the base finds that about as likely"
        return Check("secrets", True, worst, None, None, LEARNED, words)
    where = ", ".join(sorted({f"{leak.kind} in {leak.where}" for leak in learned}))
    return Check(
        "secrets",
        False,
        worst,
        None,
        None,
        LEARNED,
        f"it gives away what looks like a secret and what the base does not know: {where}",
    )


# --- rules 2 to 4: better on fresh work, still right, still coherent ------------------------------


def _relevance(rise: Rise | None) -> Check:
    if rise is None:
        return Check(
            "domain_relevance", False, None, None, None, 0.0, "the fresh work could not be measured"
        )
    fall = rise.since_live.negated
    passed = fall.low > 0
    words = f"NLL on fresh work {'fell' if fall.mean >= 0 else 'rose'} by {abs(fall.mean):.3f} nat a token ({_bound('at least', fall)})"
    return Check(
        "domain_relevance",
        passed,
        fall.mean,
        _known(fall.low),
        _known(fall.high),
        0.0,
        words if passed else f"{words}: not surely better",
    )


def _likeness(candidate: Measurements, live: Measurements) -> Interval | None:
    """How the answers' likeness to the kept code changed, by session; None where it is not known."""
    _same(candidate.behaviour.ids, live.behaviour.ids)
    changes = [
        new - old
        for new, old in zip(candidate.behaviour.similarity, live.behaviour.similarity, strict=True)
    ]
    if not changes or not all(map(math.isfinite, changes)):
        return None
    units = dict(zip(candidate.gate.ids, candidate.gate.units, strict=True))
    return paired_interval(
        changes, [1.0] * len(changes), [units.get(i, i) for i in candidate.behaviour.ids]
    )


def _accuracy(likeness: Interval | None, candidate: Behaviour, live: Behaviour) -> Check:
    """The mean is over answers, the interval over sessions."""
    if likeness is None:
        return Check(
            "accuracy",
            False,
            None,
            None,
            None,
            ACCURACY,
            "the answers could not be compared with the kept code",
        )
    change = mean(candidate.similarity) - mean(live.similarity)
    words = f"answers' likeness to the kept code changed by {change:+.3f} to {mean(candidate.similarity):.3f} (not below {ACCURACY})"
    return Check(
        "accuracy",
        change >= ACCURACY - ROUNDING,
        change,
        _known(likeness.low),
        _known(likeness.high),
        ACCURACY,
        words,
    )


def _coherence(candidate: Behaviour, live: Behaviour) -> Check:
    count = len(candidate.coherent)
    if count == 0:
        return Check(
            "coherence", False, None, None, None, -COHERENCE, "there were no answers to judge"
        )
    lost = sum(live.coherent) - sum(candidate.coherent)
    allowed = max(1.0, COHERENCE * count)
    words = f"{sum(candidate.coherent)} of {count} answers end, do not loop and parse; {sum(live.coherent)} before (at most {allowed:g} fewer)"
    return Check(
        "coherence", lost <= allowed + ROUNDING, -lost / count, None, None, -allowed / count, words
    )


# --- rule 5: not worse on anything else -----------------------------------------------------------


def _not_worse(name: str, rise: Rise | None, *, empty: bool, empty_passes: bool) -> Check:
    what = "earlier work" if name == "old_work" else "code in general"
    if empty:
        words = (
            f"there is no {what} to compare on yet" if empty_passes else f"{what} was not measured"
        )
        return Check(name, empty_passes, None, None, None, RISE, words)
    if rise is None or not math.isfinite(rise.since_base):
        return Check(name, False, None, None, None, RISE, f"{what} could not be measured")
    since, drift = rise.since_live, rise.since_base
    faults = [
        f"more than {RISE}" if since.mean > RISE + ROUNDING else "",
        f"it may be more than {RISE_BOUND:.2f}" if since.high > RISE_BOUND + ROUNDING else "",
        f"{drift:+.3f} since the base, more than {RISE_FROM_BASE}"
        if drift > RISE_FROM_BASE + ROUNDING
        else "",
    ]
    found = "; ".join(f for f in faults if f)
    words = f"NLL on {what} changed by {since.mean:+.3f} nat a token ({_bound('at most', since)}), {drift:+.3f} since the base"
    return Check(
        name,
        not found,
        since.mean,
        _known(since.low),
        _known(since.high),
        RISE,
        f"{words}: {found}" if found else words,
    )


def _rise(
    what: str, after: SuiteNll, live: SuiteNll, base: SuiteNll, *, one_session: bool = False
) -> Rise | None:
    """NLL per token of `after` minus that of `live` and of `base`, paired by example; None where
    there is nothing, or something is no number.

    `one_session`: where all is from one session, its examples are compared as if they were
    independent (else nothing would ever ship again).
    """
    if not after.ids:
        return None
    since_live, since_base = (
        _paired(after, before, one_session=one_session) for before in (live, base)
    )
    return (
        None
        if since_live is None
        else Rise(what, since_live, math.nan if since_base is None else since_base.mean)
    )


def _paired(after: SuiteNll, before: SuiteNll, *, one_session: bool) -> Interval | None:
    _same(after.ids, before.ids)
    _same(after.tokens, before.tokens)
    differences = [a - b for a, b in zip(after.nll, before.nll, strict=True)]
    if not sum(after.tokens) or not all(map(math.isfinite, differences)):
        return None
    units = after.ids if one_session and len(set(after.units)) == 1 else after.units
    return paired_interval(differences, [float(t) for t in after.tokens], units)


def _same(left: Sequence[object], right: Sequence[object]) -> None:
    if tuple(left) != tuple(right):
        raise ValueError("two models were measured on different examples and cannot be compared")


def _bound(word: str, interval: Interval) -> str:
    value = interval.low if word == "at least" else interval.high
    return (
        f"{word} {value:.3f} with 95 % confidence, {interval.units} independent units"
        if math.isfinite(value)
        else "one session is too few to be sure"
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
