"""Ship or not: the rules of the gate over what was measured, each with its number, its interval, its limit and a sentence.

A pure function: the same measurements give the same verdict. Every rule is against the version that is live; superiority is asked only on fresh work, all
else must merely not become worse. What could not be measured is not passed: a missing or broken number refuses. Limits are contracts, not settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qi_learn.errors import Refused
from qi_learn.records import Behaviour, Check, Smoke, SuiteNll, Verdict
from qi_learn.stats import Interval, paired_interval
from qi_learn.validate.measure import Measured, mean

SPEED, SLOW = 0.6, 0.9
ACCURACY = -0.02
COHERENCE = 0.02
RISE, RISE_BOUND, RISE_FROM_BASE = 0.05, 0.10, 0.15
_ROUNDING = 1e-9
"""Differences of decimal fractions come out a last bit off; a limit that is met exactly is met."""


def choose_scale(dev_by_scale: Mapping[float, float]) -> float:
    """The scale of the delta with the lowest NLL on dev; of equals the smaller, which moves the model less.

    Raises Refused where no scale gave a number.
    """
    measured = [(nll, scale) for scale, nll in dev_by_scale.items() if math.isfinite(nll)]
    if not measured:
        raise Refused("No scale of the training result gives a number on the dev examples.", "The training diverged; the next cycle starts afresh.")
    return min(measured)[1]


def judge(
    candidate: Measured,
    live: Measured,
    base: Measured,
    smoke: Smoke,
    *,
    few_shot: Behaviour | None,
    scale: float,
    compared_with: str,
    rollback_to: str,
) -> Verdict:
    """The verdict on a candidate against the version `compared_with`; `rollback_to` names what a rollback would go back to.

    Raises ValueError where two measurements that must be paired are of different examples.
    """
    checks = (
        *_works(candidate, base, smoke),
        _relevance(candidate.gate, live.gate),
        _accuracy(candidate, live),
        _coherence(candidate.behaviour, live.behaviour),
        _not_worse("old_work", "earlier work", candidate.old, live.old, base.old, empty_passes=True),
        _not_worse("general", "code in general", candidate.general, live.general, base.general, empty_passes=False),
    )
    ships = all(c.passed for c in checks)
    by_name = {c.name: c for c in checks}
    return Verdict(
        ships=ships,
        checks=checks,
        notes=tuple(_notes(candidate, base, few_shot)),
        risk=_risk(by_name, scale) if ships else "none: what was live stays live",
        rollback_plan=f"`qi-learn rollback` makes v{rollback_to} live again at once; nothing is deleted." if ships else "nothing to roll back",
        scale=scale,
        compared_with=compared_with,
        numbers=_numbers(by_name, candidate, live, base, few_shot),
    )


# --- rule 1: it works ------------------------------------------------------------------------------------------------------------------------


def _works(candidate: Measured, base: Measured, smoke: Smoke) -> tuple[Check, ...]:
    return (
        _yes("loads", smoke.answers, "the file loads and answers", f"the file does not answer: {smoke.problem or 'no text came'}"),
        _yes("stops", smoke.stops, "answers end by themselves", "answers do not end by themselves where the base's do"),
        _finite(candidate),
        _yes("template", smoke.same_template and smoke.same_stops, "template and stop tokens are the base's", _template_fault(smoke)),
        _speed(candidate.behaviour, base.behaviour),
    )


def _yes(name: str, passed: bool, good: str, bad: str) -> Check:
    return Check(name, passed, None, None, None, None, good if passed else bad)


def _template_fault(smoke: Smoke) -> str:
    return "a conversation is rendered otherwise than by the base" if not smoke.same_template else "the stop tokens are not the base's"


def _finite(candidate: Measured) -> Check:
    broken = [s.suite for s in (candidate.gate, candidate.old, candidate.general) if not all(map(math.isfinite, s.nll))]
    return _yes("finite", not broken, "every number is one", f"the model's output is not a number on: {', '.join(broken)}")


def _speed(candidate: Behaviour, base: Behaviour) -> Check:
    ratio = candidate.tokens_per_second / base.tokens_per_second if base.tokens_per_second > 0 else math.nan
    if not math.isfinite(ratio):
        return Check("speed", False, None, None, None, SPEED, "the speed could not be measured")
    words = f"{candidate.tokens_per_second:.0f} tokens/s, {ratio:.2f} of the base's {base.tokens_per_second:.0f} (at least {SPEED})"
    return Check("speed", ratio >= SPEED - _ROUNDING, ratio, None, None, SPEED, words)


# --- rules 2 to 4: better on fresh work, still right, still coherent -------------------------------------------------------------------------


def _relevance(candidate: SuiteNll, live: SuiteNll) -> Check:
    fall = _rise(live, candidate)
    if fall is None:
        return Check("domain_relevance", False, None, None, None, 0.0, "the fresh work could not be measured")
    passed = fall.low > 0
    words = f"NLL on fresh work {'fell' if fall.mean >= 0 else 'rose'} by {abs(fall.mean):.3f} nat a token ({_bound('at least', fall.low)}, {_units(fall)})"
    return Check("domain_relevance", passed, fall.mean, _known(fall.low), _known(fall.high), 0.0, words if passed else f"{words}: not surely better")


def _accuracy(candidate: Measured, live: Measured) -> Check:
    _same(candidate.behaviour.ids, live.behaviour.ids)
    changes = [new - old for new, old in zip(candidate.behaviour.similarity, live.behaviour.similarity, strict=True)]
    if not changes or not all(map(math.isfinite, changes)):
        return Check("accuracy", False, None, None, None, ACCURACY, "the answers could not be compared with the kept code")
    units = dict(zip(candidate.gate.ids, candidate.gate.units, strict=True))
    spread = paired_interval(changes, [1.0] * len(changes), [units.get(i, i) for i in candidate.behaviour.ids])
    change = mean(changes)
    words = f"answers' likeness to the kept code changed by {change:+.3f} to {mean(candidate.behaviour.similarity):.3f} (not below {ACCURACY})"
    return Check("accuracy", change >= ACCURACY - _ROUNDING, change, _known(spread.low), _known(spread.high), ACCURACY, words)


def _coherence(candidate: Behaviour, live: Behaviour) -> Check:
    count = len(candidate.coherent)
    if count == 0:
        return Check("coherence", False, None, None, None, -COHERENCE, "there were no answers to judge")
    lost = sum(live.coherent) - sum(candidate.coherent)
    allowed = max(1.0, COHERENCE * count)
    words = f"{sum(candidate.coherent)} of {count} answers end, do not loop and parse; {sum(live.coherent)} before (at most {allowed:g} fewer)"
    return Check("coherence", lost <= allowed + _ROUNDING, -lost / count, None, None, -allowed / count, words)


# --- rule 5: not worse on anything else --------------------------------------------------------------------------------------------------------


def _not_worse(name: str, what: str, candidate: SuiteNll, live: SuiteNll, base: SuiteNll, *, empty_passes: bool) -> Check:
    if not candidate.ids:
        words = f"there is no {what} to compare on yet" if empty_passes else f"{what} was not measured"
        return Check(name, empty_passes, None, None, None, RISE, words)
    rise, drift = _rise(candidate, live), _rise(candidate, base)
    if rise is None or drift is None:
        return Check(name, False, None, None, None, RISE, f"{what} could not be measured")
    faults = [
        f"more than {RISE}" if rise.mean > RISE + _ROUNDING else "",
        f"it may be more than {RISE_BOUND:.2f}" if rise.high > RISE_BOUND + _ROUNDING else "",
        f"{drift.mean:+.3f} since the base, more than {RISE_FROM_BASE}" if drift.mean > RISE_FROM_BASE + _ROUNDING else "",
    ]
    found = "; ".join(f for f in faults if f)
    words = f"NLL on {what} changed by {rise.mean:+.3f} nat a token ({_bound('at most', rise.high)}, {_units(rise)}), {drift.mean:+.3f} since the base"
    return Check(name, not found, rise.mean, _known(rise.low), _known(rise.high), RISE, f"{words}: {found}" if found else words)


def _rise(after: SuiteNll, before: SuiteNll) -> Interval | None:
    """NLL per token of `after` minus `before`, paired by example; None where there is nothing, or something is no number."""
    _same(after.ids, before.ids)
    _same(after.tokens, before.tokens)
    differences = [a - b for a, b in zip(after.nll, before.nll, strict=True)]
    if not sum(after.tokens) or not all(map(math.isfinite, differences)):
        return None
    return paired_interval(differences, [float(t) for t in after.tokens], after.units)


def _same(left: Sequence[object], right: Sequence[object]) -> None:
    if tuple(left) != tuple(right):
        raise ValueError("two models were measured on different examples and cannot be compared")


# --- in words and numbers ----------------------------------------------------------------------------------------------------------------------


def _notes(candidate: Measured, base: Measured, few_shot: Behaviour | None) -> list[str]:
    notes = []
    asked = set(few_shot.ids) if few_shot is not None else set()
    own = mean([s for i, s in zip(candidate.behaviour.ids, candidate.behaviour.similarity, strict=True) if i in asked])
    if few_shot is not None and few_shot.similarity and mean(few_shot.similarity) > own:
        better = mean(few_shot.similarity)
        notes.append(f"few-shot is better: the base with 2 examples in its prompt comes to a likeness of {better:.3f}, this version to {own:.3f}")
    speed = candidate.behaviour.tokens_per_second / base.behaviour.tokens_per_second if base.behaviour.tokens_per_second > 0 else math.nan
    if speed < SLOW:
        notes.append(f"slower than the base: {speed:.2f} of its tokens/s, because the tensors that learned are stored with more bits")
    if not candidate.old.ids:
        notes.append("there is no earlier work to compare on yet: forgetting was measured on code in general only")
    return notes


def _risk(checks: Mapping[str, Check], scale: float) -> str:
    """How near the worst of the measured losses is to its limit."""
    parts = [_used(checks["general"].high, RISE_BOUND), _used(checks["old_work"].high, RISE_BOUND), _used(checks["accuracy"].value, ACCURACY)]
    worst = max(parts)
    level = "low" if worst < 1 / 3 else "medium" if worst < 2 / 3 else "high"
    where = ("code in general", "earlier work", "likeness to the kept code")[parts.index(worst)]
    tail = f"; the delta was scaled to {scale:g}" if scale != 1.0 else ""
    return f"{level}: the nearest limit is {where}, {worst:.0%} of what is allowed used{tail}"


def _used(value: float | None, limit: float) -> float:
    return max(0.0, value / limit) if value is not None else 0.0


def _numbers(checks: Mapping[str, Check], candidate: Measured, live: Measured, base: Measured, few_shot: Behaviour | None) -> dict[str, float]:
    """R2's three numbers by its names, then everything measured; what could not be measured is left out (JSON has no NaN)."""
    numbers = {"accuracy": checks["accuracy"].value, "coherence": checks["coherence"].value, "domainRelevance": checks["domain_relevance"].value}
    numbers["speed"] = checks["speed"].value
    for who, measured in (("candidate", candidate), ("live", live), ("base", base)):
        for suite in (measured.gate, measured.old, measured.general):
            numbers[f"{suite.suite}_nll_{who}"] = suite.per_token
        numbers[f"gate_code_nll_{who}"] = sum(measured.gate.code_nll) / sum(measured.gate.code_tokens) if sum(measured.gate.code_tokens) else None
        numbers[f"similarity_{who}"] = mean(measured.behaviour.similarity)
        numbers[f"coherent_{who}"] = mean([float(c) for c in measured.behaviour.coherent])
        numbers[f"tokens_per_second_{who}"] = measured.behaviour.tokens_per_second
    if few_shot is not None:
        numbers["similarity_few_shot"] = mean(few_shot.similarity)
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def _bound(word: str, value: float) -> str:
    return f"{word} {value:.3f} with 95 % confidence" if math.isfinite(value) else "too few to be sure"


def _units(interval: Interval) -> str:
    return f"{interval.units} independent units"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
