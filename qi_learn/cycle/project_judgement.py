"""The verdict with what the projects' own tests say, if the person asked for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qi_learn.cycle.context import Cycle
from qi_learn.cycle.project_tasks import project_tasks
from qi_learn.gate.project_rule import NAME, REFUSED, project_tests_check, with_project_tests
from qi_learn.gate.project_tests import ProjectTerms, run_project_tests
from qi_learn.outside.ollama_parallel import Wait
from qi_learn.records import Behaviour, Check, Example, Verdict
from qi_learn.store.database import open_store


def judged_by_tests(
    cycle: Cycle,
    verdict: Verdict,
    questions: Sequence[Example],
    compared: Mapping[str, Behaviour],
    wait: Wait,
) -> Verdict:
    """The verdict on a candidate with the check on the projects' tests (`gate.project_tests`).

    `questions`: what every model was asked; `compared`: the answers of the candidate, the live
    version and the base, by model. Each run gives way to requests, and none begins once the cycle
    was cancelled. Raises StoreError if the database cannot be read.
    """
    if not cycle.settings.gate.project_tests:
        return verdict
    if not verdict.ships:
        refused = Check(NAME, True, None, None, None, None, REFUSED)
        return with_project_tests(verdict, refused, None)

    def may_run() -> None:
        cycle.go_on()
        wait(cycle.go_on)

    with open_store(cycle.paths.database, readonly=True) as store:
        tasks = project_tasks(store, questions)
    answers = {
        model: dict(zip(each.ids, each.answers, strict=True)) for model, each in compared.items()
    }
    with cycle.part("gate", "projects' tests run"):
        results = run_project_tests(tasks, answers, ProjectTerms(wait=may_run))
    candidate, live, base = compared_models(cycle, compared)
    check = project_tests_check(results, candidate, live, base)
    return with_project_tests(verdict, check, results)


def compared_models(cycle: Cycle, compared: Mapping[str, Behaviour]) -> tuple[str, str, str]:
    """The candidate, the live version and the base; the last two are one if the base is live."""
    others = [model for model in compared if model != cycle.candidate]
    return cycle.candidate, others[0], others[-1]
