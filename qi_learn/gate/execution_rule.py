"""The gate's rule on code that runs: a candidate does not ship where it evidently solves fewer
tasks than the live version.

With some 48 tasks no margin can be *proved* (the standard error of a difference is 4 points), so
this rule refuses evident loss and no more; small losses are seen by the rules on NLL. Evident:
McNemar's mid-p over the tasks that only one of the two solved, at most 0.05 against the live
version and 0.01 against the base, so that small steps cannot add up. It refuses at most 3 in 100
harmless updates (docs/decisions/0011).
"""

from __future__ import annotations

from qi_learn.records import Check, Execution
from qi_learn.stats import mcnemar_mid_p, wilson_interval

EVIDENT, EVIDENT_FROM_BASE = 0.05, 0.01


def mcnemar_rule(candidate: Execution, live: Execution, base: Execution) -> Check:
    """Passes also where nothing was run, which the reason then says: not every machine has a
    sandbox.
    """
    new, old = (
        dict(zip(candidate.ids, candidate.passed, strict=True)),
        dict(zip(live.ids, live.passed, strict=True)),
    )
    first = dict(zip(base.ids, base.passed, strict=True))
    common = [task for task in candidate.ids if task in old and task in first]
    if not common:
        return Check(
            "execution",
            True,
            None,
            None,
            None,
            None,
            "not run: no answer was executed, because "
            f"{candidate.problem or live.problem or base.problem}",
        )
    lost, gained = _changes(common, old, new)
    lost_since, gained_since = _changes(common, first, new)
    p, p_since = mcnemar_mid_p(lost, gained), mcnemar_mid_p(lost_since, gained_since)
    faults = [
        f"an evident loss (p = {p:.3f}, at most {EVIDENT} is refused)" if p <= EVIDENT else "",
        f"an evident loss since the base: {lost_since} lost and {gained_since} gained (p = "
        f"{p_since:.3f})"
        if p_since <= EVIDENT_FROM_BASE
        else "",
    ]
    found = "; ".join(f for f in faults if f)
    solved, change = sum(new[t] for t in common), (gained - lost) / len(common)
    share = wilson_interval(solved, len(common))
    words = (
        f"{solved} of {len(common)} tasks solved by code that was run ({share.low:.0%} to "
        f"{share.high:.0%} of such tasks with 90 % confidence), "
        f"{sum(old[t] for t in common)} before and {sum(first[t] for t in common)} by the base: "
        f"{lost} lost, {gained} gained"
    )
    left_out = (
        f" ({candidate.problem or live.problem or base.problem})"
        if candidate.problem or live.problem or base.problem
        else ""
    )
    return Check(
        "execution",
        not found,
        change,
        None,
        None,
        None,
        f"{words}{left_out}" + (f": {found}" if found else ""),
    )


def changed_tasks(candidate: Execution, live: Execution) -> tuple[int, int] | None:
    """Tasks that only the live version solved, and that only the candidate did; None where no task
    was put to both.
    """
    new, old = (
        dict(zip(candidate.ids, candidate.passed, strict=True)),
        dict(zip(live.ids, live.passed, strict=True)),
    )
    common = [task for task in candidate.ids if task in old]
    return _changes(common, old, new) if common else None


def _changes(tasks: list[str], before: dict[str, bool], after: dict[str, bool]) -> tuple[int, int]:
    """Tasks that only the one before solved, and that only the one after did."""
    return sum(before[t] and not after[t] for t in tasks), sum(
        after[t] and not before[t] for t in tasks
    )
