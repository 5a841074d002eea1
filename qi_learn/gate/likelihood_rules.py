"""Rule 5 of the gate: not worse on earlier work, and on no suite of general text.

Earlier work is held against every version that was live, so that a little less each time adds up to
a refusal; of several versions each claim must be the surer. Each general suite (a language, a
format, questions that look like the learned ones) has limits of its own. Every difference is paired
by example, its sessions may hang together (`mixed_model`).

A wide interval does not refuse by itself: it takes a measured rise as well. Suites are made large
enough for what must be seen instead, and fewer than FEW examples of earlier work, where there are
more, refuse. Where `gate.max_read` leaves fewer than FEW texts of some general suites, these are
judged together, as one suite, but for those of spill-over: a loss there would be lost among the
others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qi_learn.gate.checks import finite_or_none, p_words, require_same, without_number
from qi_learn.gate.limits import NOTICED, RISE, RISE_BOUND, RISE_FROM_BASE, ROUNDING, SURE
from qi_learn.gate.measurements import Comparison, Likelihoods
from qi_learn.gate.mixed_model import CAUTIOUS, Correlation, Estimate, estimate, variances_of
from qi_learn.gate.regressions import Rise
from qi_learn.records import Check, SuiteNll
from qi_learn.records.gating import NOT_RUN
from qi_learn.records.suites import FEW, SPILL_OVER
from qi_learn.stats import holm

EARLIER = "earlier work"
TOGETHER = "few_texts"
"""The name of all suites with few texts, judged together."""


def earlier_work_rise(
    candidate: Likelihoods,
    live: Likelihoods,
    base: Likelihoods,
    *,
    past: Sequence[tuple[float, ...]] = (),
    known: Correlation = CAUTIOUS,
) -> Rise | None:
    """The largest rise on earlier work since any version that was live, and that since the base.

    None if there is none yet, or a number is none. `past`: see `Comparison`; each of these is
    compared on the examples that it has numbers of. `known`: what is believed of the correlation
    within sessions. Raises ValueError if two models were measured on different examples.
    """
    whole = _rise(EARLIER, candidate.old, live.old, base.old, known)
    if whole is None:
        return None
    rises = [whole.since]
    for nll in past:
        require_same(range(len(nll)), range(len(candidate.old.ids)))
        known_to_it = [n for n, value in enumerate(nll) if math.isfinite(value)]
        before = replace(live.old, nll=nll)
        since = _paired(_part(candidate.old, known_to_it), _part(before, known_to_it), known)
        if since is not None:
            rises.append(since)
    return replace(whole, since=max(rises, key=lambda rise: rise.mean), versions=len(rises))


def general_rises(
    candidate: Likelihoods, live: Likelihoods, base: Likelihoods
) -> dict[str, Rise | None]:
    """The rise on each general suite since the live version, and since the base, by name.

    None for a suite that is empty, or a number of which is none. Suites with fewer than FEW texts
    are one, TOGETHER, but for those of spill-over. Raises ValueError as above, or if the models
    were measured on different suites.
    """
    require_same(sorted(candidate.general), sorted(live.general))
    require_same(sorted(candidate.general), sorted(base.general))
    few = [
        name
        for name, suite in candidate.general.items()
        if 0 < len(suite.ids) < FEW and name not in SPILL_OVER
    ]
    rises = {
        name: _rise(name.replace("_", " "), suite, live.general[name], base.general[name], CAUTIOUS)
        for name, suite in candidate.general.items()
        if name not in few
    }
    if few:
        after, before, first = (
            _joined([model.general[name] for name in few]) for model in (candidate, live, base)
        )
        words = f"suites with few texts ({', '.join(few).replace('_', ' ')})"
        rises[TOGETHER] = _rise(words, after, before, first, CAUTIOUS)
    return rises


def earlier_work_check(
    suite: SuiteNll, rise: Rise | None, models: Comparison | None = None
) -> Check:
    """Rule 5 on earlier work, `suite`; passes if there is none yet.

    `models`: says how much there is, and what it is held against. Fewer than FEW examples of more
    refuse: what could not be read is not unchanged.
    """
    there = models.earlier if models else 0
    if len(suite.ids) < min(FEW, there):
        reason = (
            f"{len(suite.ids)} of {there} examples of earlier work could be read within "
            f"gate.max_read: too few to see what was forgotten"
        )
        return without_number("old_work", RISE, reason)
    if not suite.ids:
        reason = f"{NOT_RUN}: there is no earlier work to compare on yet"
        return without_number("old_work", RISE, reason, passes=True)
    if rise is None or rise.since_base is None:
        return without_number("old_work", RISE, f"{EARLIER} could not be measured")
    p_base = rise.since_base.p_above(0.0)
    faults = _faults(rise, rise.p)
    if p_base <= SURE and rise.since_base.mean > NOTICED + ROUNDING:
        faults.append(f"surely worse than the base, and by more than {NOTICED}")
    return _check("old_work", rise, faults, _held_against(rise, models))


def _held_against(rise: Rise, models: Comparison | None) -> str:
    unknown = models.unknown if models else 0
    if rise.versions + unknown < 2:
        return "the live version"
    of = f" of {rise.versions + unknown}" if unknown else ""
    return f"the best of {rise.versions}{of} versions that were live"


def general_checks(rises: Mapping[str, Rise | None]) -> tuple[Check, ...]:
    """Rule 5 on each general suite, its chance of being surely worse adjusted by Holm's method.

    Refuses if none was measured.
    """
    if not rises:
        return (without_number("general", RISE, "no general suite was measured"),)
    adjusted = holm(p_worse(rises))
    return tuple(
        _check(f"general_{name}", rise, _faults(rise, adjusted[name]), "the live version")
        if rise is not None and rise.since_base is not None
        else without_number(f"general_{name}", RISE, f"{name} could not be measured")
        for name, rise in rises.items()
    )


def p_worse(rises: Mapping[str, Rise | None]) -> dict[str, float]:
    """One-sided p-value of "no worse" on each suite that was measured."""
    return {name: rise.p for name, rise in rises.items() if rise is not None}


def _faults(rise: Rise, p: float) -> list[str]:
    """The limits that a rise exceeds. `p`: of "no worse", adjusted."""
    since, faults = rise.since, []
    if since.mean > RISE + ROUNDING:
        faults.append(f"more than {RISE}")
    elif since.mean > NOTICED + ROUNDING:
        if p <= SURE:
            faults.append(f"surely worse ({p_words(p)}), and by more than {NOTICED}")
        if since.high() > RISE_BOUND + ROUNDING:
            faults.append(f"it may be more than {RISE_BOUND:.2f}")
    if rise.since_base is not None and rise.since_base.mean > RISE_FROM_BASE + ROUNDING:
        faults.append(f"more than {RISE_FROM_BASE} since the base")
    return faults


def _check(name: str, rise: Rise, faults: Sequence[str], since: str) -> Check:
    change, base = rise.since, rise.since_base
    upper = (
        f"at most {change.high():+.3f} with 95 % confidence, {change.units} independent units"
        if math.isfinite(change.error)
        else "of one session, so nothing is sure"
    )
    reason = (
        f"NLL on {rise.what} changed by {change.mean:+.3f} nat a token since {since} ({upper})"
        + (f", {base.mean:+.3f} since the base" if base is not None else "")
    )
    return Check(
        name,
        not faults,
        change.mean,
        finite_or_none(change.low()),
        finite_or_none(change.high()),
        RISE,
        f"{reason}: {'; '.join(faults)}" if faults else reason,
    )


# --- paired differences ---------------------------------------------------------------------------


def _rise(
    what: str, after: SuiteNll, before: SuiteNll, base: SuiteNll, known: Correlation
) -> Rise | None:
    """NLL per token of `after` minus that of `before` and of `base`, paired by example."""
    if not after.ids:
        return None
    since = _paired(after, before, known)
    since_base = since if base is before else _paired(after, base, known)
    return None if since is None else Rise(what, since, since_base)


def _joined(suites: Sequence[SuiteNll]) -> SuiteNll:
    """Suites as one, in this order: what a difference of NLL is taken from, and no more."""
    ids = tuple(f"{suite.suite}: {name}" for suite in suites for name in suite.ids)
    nll = tuple(value for suite in suites for value in suite.nll)
    tokens = tuple(count for suite in suites for count in suite.tokens)
    return SuiteNll(TOGETHER, ids, ids, nll, tokens, (), ())


def _part(suite: SuiteNll, chosen: Sequence[int]) -> SuiteNll:
    """Some examples of a suite: what a difference of NLL is taken from, and no more."""
    return SuiteNll(
        suite.suite,
        tuple(suite.ids[n] for n in chosen),
        tuple(suite.units[n] for n in chosen),
        tuple(suite.nll[n] for n in chosen),
        tuple(suite.tokens[n] for n in chosen),
        (),
        (),
    )


def _paired(after: SuiteNll, before: SuiteNll, known: Correlation) -> Estimate | None:
    """The mean difference a token; None if a number is none.

    Of one unit alone the examples are taken as independent: that is less sure than it looks, and
    refuses rather than passes.
    """
    require_same(after.ids, before.ids)
    require_same(after.tokens, before.tokens)
    counted = [n for n, tokens in enumerate(after.tokens) if tokens > 0]
    differences = [(after.nll[n] - before.nll[n]) / after.tokens[n] for n in counted]
    if not counted or not all(map(math.isfinite, differences)):
        return None
    units = after.ids if len(set(after.units)) == 1 else after.units
    variances = variances_of([after.tokens[n] for n in counted])
    return estimate(differences, variances, [units[n] for n in counted], known)
