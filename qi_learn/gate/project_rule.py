"""Rule 6 of the gate, on a project's own tests: no evident loss of work that passes them.

The same test as for the suite of tasks (`execution_rule`): McNemar's mid-p over the tasks that only
one of two versions passed. With a dozen tasks at most it sees great losses and no others. It is
judged only if everything else lets a candidate ship, because running tests is what takes longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qi_learn.gate.advice import NEXT
from qi_learn.gate.execution_rule import changed_tasks, evident_losses
from qi_learn.gate.project_tests import ProjectResults
from qi_learn.records import Check, Verdict
from qi_learn.records.gating import NOT_RUN

NAME = "project_tests"
HELP = (
    "answers that pass your projects' tests as those of the live version do: `qi-learn run -- ` in "
    "front of the tests tells more such cases to learn from"
)
REFUSED = f"{NOT_RUN}: the other rules refuse it already"


def project_tests_check(results: ProjectResults, candidate: str, live: str, base: str) -> Check:
    """The check on the project's own tests; the last three are names of models.

    It passes also if nothing was run, and the reason says so.
    """
    new, old, first = (results.by_model[model] for model in (candidate, live, base))
    since_live, since_base = changed_tasks(new, old), changed_tasks(new, first)
    if since_live is None or since_base is None:
        return Check(NAME, True, None, None, None, None, f"{NOT_RUN}: {new.problem}")
    (lost, gained), count = since_live, len(new.ids)
    faults = "; ".join(evident_losses(since_live, since_base))
    reason = (
        f"of {count} answers in their place {sum(new.passed)} pass the project's own tests, "
        f"{sum(old.passed)} before and {sum(first.passed)} by the base: {lost} lost, {gained} "
        f"gained ({results.runs} runs, {results.seconds:.0f} s{_left_out(results.left_out)})"
    )
    reason += f": {faults}" if faults else ""
    return Check(NAME, not faults, (gained - lost) / count, None, None, None, reason)


def with_project_tests(verdict: Verdict, check: Check, results: ProjectResults | None) -> Verdict:
    """A verdict with the check in it, and what running the tests took."""
    spent = (
        {"project_test_runs": float(results.runs), "project_test_seconds": results.seconds}
        if results
        else {}
    )
    with_check = replace(
        verdict, checks=(*verdict.checks, check), numbers={**verdict.numbers, **spent}
    )
    if check.passed:
        return with_check
    return replace(
        with_check,
        ships=False,
        risk="none: what was live stays live",
        rollback_plan="nothing to roll back",
        helps=(HELP, NEXT),
    )


def _left_out(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return ""
    return "; left out: " + ", ".join(f"{count} because {why}" for why, count in left_out.items())
