"""Rule 6 of the gate, on code that runs: no evident loss of tasks solved.

A candidate does not ship if it evidently solves fewer tasks than the live version.

With some 48 tasks no margin can be *proved* (the standard error of a difference is 4 points), so
this rule refuses evident loss and no more; the rules on NLL see small losses. Evident: McNemar's
mid-p over the tasks that only one of the two solved, at most 0.05 against the live version and 0.01
against the base, so that small steps cannot add up. It refuses at most 3 in 100 harmless updates
(docs/internals/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qi_learn.records import Check, Execution
from qi_learn.records.gating import NOT_RUN
from qi_learn.stats import mcnemar_mid_p, wilson_interval

EVIDENT, EVIDENT_FROM_BASE = 0.05, 0.01


def mcnemar_rule(candidate: Execution, live: Execution, base: Execution) -> Check:
    """The check on code that was run.

    It passes also if nothing was run, and the reason says so: not every machine has a sandbox.
    """
    new, old, first = (_solved(execution) for execution in (candidate, live, base))
    common = [task for task in candidate.ids if task in old and task in first]
    problem = candidate.problem or live.problem or base.problem
    if not common:
        reason = f"{NOT_RUN}: no answer was executed, because {problem}"
        return Check("execution", True, None, None, None, None, reason)
    lost, gained = _changes(common, old, new)
    faults = "; ".join(evident_losses((lost, gained), _changes(common, first, new)))
    solved = sum(new[task] for task in common)
    share = wilson_interval(solved, len(common))
    reason = (
        f"{solved} of {len(common)} tasks solved by code that was run ({share.low:.0%} to "
        f"{share.high:.0%} of such tasks with 90 % confidence), "
        f"{sum(old[t] for t in common)} before and {sum(first[t] for t in common)} by the base: "
        f"{lost} lost, {gained} gained"
    )
    reason += (f" ({problem})" if problem else "") + (f": {faults}" if faults else "")
    change = (gained - lost) / len(common)
    return Check("execution", not faults, change, None, None, None, reason)


def changed_tasks(candidate: Execution, live: Execution) -> tuple[int, int] | None:
    """The number of tasks that only the live version solved, and that only the candidate did.

    None if no task was put to both.
    """
    new, old = _solved(candidate), _solved(live)
    common = [task for task in candidate.ids if task in old]
    return _changes(common, old, new) if common else None


def _solved(execution: Execution) -> dict[str, bool]:
    return dict(zip(execution.ids, execution.passed, strict=True))


def evident_losses(since_live: tuple[int, int], since_base: tuple[int, int]) -> list[str]:
    """The evident losses, from the tasks lost and gained since either version."""
    p, p_base = mcnemar_mid_p(*since_live), mcnemar_mid_p(*since_base)
    faults = []
    if p <= EVIDENT:
        faults.append(f"an evident loss (p = {p:.3f}, at most {EVIDENT} is refused)")
    if p_base <= EVIDENT_FROM_BASE:
        lost, gained = since_base
        faults.append(
            f"an evident loss since the base: {lost} lost and {gained} gained (p = {p_base:.3f})"
        )
    return faults


def _changes(
    tasks: Sequence[str], before: Mapping[str, bool], after: Mapping[str, bool]
) -> tuple[int, int]:
    """The number of tasks solved only before, and only after."""
    lost = sum(before[task] and not after[task] for task in tasks)
    gained = sum(after[task] and not before[task] for task in tasks)
    return lost, gained
