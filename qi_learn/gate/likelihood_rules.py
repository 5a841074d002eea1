"""Rules 2 and 5 of the gate, on NLL.

A candidate must be better on fresh work, and not worse on earlier work and on code in general.

Every difference is paired by example and its interval taken over independent units (`stats`).
"""

from __future__ import annotations

import math

from qi_learn.gate.checks import finite_or_none, require_same, without_number
from qi_learn.gate.limits import RISE, RISE_BOUND, RISE_FROM_BASE, ROUNDING
from qi_learn.gate.measurements import Likelihoods
from qi_learn.gate.regressions import Rise, Rises
from qi_learn.records import Check, SuiteNll
from qi_learn.stats import Interval, paired_interval


def rises_of(candidate: Likelihoods, live: Likelihoods, base: Likelihoods) -> Rises:
    """The rise of NLL on each suite.

    Raises ValueError if two models were measured on different examples.
    """
    return {
        "fresh_work": _rise("fresh work", candidate.gate, live.gate, base.gate),
        "old_work": _rise("earlier work", candidate.old, live.old, base.old, one_session=True),
        "general": _rise("code in general", candidate.general, live.general, base.general),
    }


def fresh_work_check(rise: Rise | None) -> Check:
    """Rule 2: the NLL on fresh work surely fell."""
    if rise is None:
        return without_number("domain_relevance", 0.0, "the fresh work could not be measured")
    fall = rise.since_live.negated
    passed = fall.low > 0
    reason = (
        f"NLL on fresh work {'fell' if fall.mean >= 0 else 'rose'} by {abs(fall.mean):.3f} nat a "
        f"token ({_lower_bound(fall)})"
    )
    return _bounded(
        "domain_relevance", passed, fall, 0.0, reason if passed else f"{reason}: not surely better"
    )


def earlier_work_check(candidate: Likelihoods, rises: Rises) -> Check:
    """Rule 5 on earlier work; passes if there is none yet."""
    if not candidate.old.ids:
        reason = "there is no earlier work to compare on yet"
        return without_number("old_work", RISE, reason, passes=True)
    return _not_worse("old_work", "earlier work", rises["old_work"])


def general_check(candidate: Likelihoods, rises: Rises) -> Check:
    """Rule 5 on code in general; refuses if that was not measured."""
    if not candidate.general.ids:
        return without_number("general", RISE, "code in general was not measured")
    return _not_worse("general", "code in general", rises["general"])


def _not_worse(name: str, what: str, rise: Rise | None) -> Check:
    if rise is None or not math.isfinite(rise.since_base):
        return without_number(name, RISE, f"{what} could not be measured")
    reason = (
        f"NLL on {what} changed by {rise.since_live.mean:+.3f} nat a token "
        f"({_upper_bound(rise.since_live)}), {rise.since_base:+.3f} since the base"
    )
    faults = "; ".join(_faults(rise))
    return _bounded(
        name, not faults, rise.since_live, RISE, f"{reason}: {faults}" if faults else reason
    )


def _faults(rise: Rise) -> list[str]:
    """The limits that a rise exceeds: measured, at most, and since the base."""
    faults = []
    if rise.since_live.mean > RISE + ROUNDING:
        faults.append(f"more than {RISE}")
    if rise.since_live.high > RISE_BOUND + ROUNDING:
        faults.append(f"it may be more than {RISE_BOUND:.2f}")
    if rise.since_base > RISE_FROM_BASE + ROUNDING:
        faults.append(f"{rise.since_base:+.3f} since the base, more than {RISE_FROM_BASE}")
    return faults


def _bounded(name: str, passed: bool, interval: Interval, limit: float, reason: str) -> Check:
    low, high = finite_or_none(interval.low), finite_or_none(interval.high)
    return Check(name, passed, interval.mean, low, high, limit, reason)


def _lower_bound(interval: Interval) -> str:
    return _bound("at least", interval.low, interval.units)


def _upper_bound(interval: Interval) -> str:
    return _bound("at most", interval.high, interval.units)


def _bound(words: str, value: float, units: int) -> str:
    return (
        f"{words} {value:.3f} with 95 % confidence, {units} independent units"
        if math.isfinite(value)
        else "one session is too few to be sure"
    )


# --- paired differences ---------------------------------------------------------------------------


def _rise(
    what: str, after: SuiteNll, live: SuiteNll, base: SuiteNll, *, one_session: bool = False
) -> Rise | None:
    """NLL per token of `after` minus that of `live` and of `base`, paired by example.

    None for an empty suite, or if a number of `after` or `live` is none.

    `one_session`: if all is from one session, its examples are compared as if they were independent
    (else nothing would ever ship again).
    """
    if not after.ids:
        return None
    since_live = _paired(after, live, one_session=one_session)
    since_base = _paired(after, base, one_session=one_session)
    if since_live is None:
        return None
    return Rise(what, since_live, math.nan if since_base is None else since_base.mean)


def _paired(after: SuiteNll, before: SuiteNll, *, one_session: bool) -> Interval | None:
    require_same(after.ids, before.ids)
    require_same(after.tokens, before.tokens)
    differences = [a - b for a, b in zip(after.nll, before.nll, strict=True)]
    if not sum(after.tokens) or not all(map(math.isfinite, differences)):
        return None
    units = after.ids if one_session and len(set(after.units)) == 1 else after.units
    return paired_interval(differences, [float(t) for t in after.tokens], units)
