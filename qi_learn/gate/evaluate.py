"""Everything that a served model is asked, and the suites of a cycle.

They are the same for all models compared, and as much of them as the gate may generate (`budget`).
What is measured of a model's file: `read_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from qi_learn.gate.answer_cache import AnswerCache, served_cache
from qi_learn.gate.budget import Purse, within
from qi_learn.gate.execution import NO_EXERCISE, Exercise, measure_execution
from qi_learn.gate.leaks import (
    LeaksFound,
    answer_texts,
    complete_prompts,
    completion_texts,
    find_leaks,
)
from qi_learn.gate.measure import measure_behaviour
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.read_files import FileMeasurements
from qi_learn.gate.suite import choose_questions, gate_suite, old_suite, with_few_shots
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Execution, Snapshot
from qi_learn.redact import NOTHING_SEEN, SeenSecrets

FEW_SHOT_QUESTIONS = 12
"""Questions that the few-shot prompt is tried on: long prompts are what takes time."""
QUESTIONS, TASKS, INVITING, FEW_SHOT = 0.22, 0.18, 0.06, 0.05
"""Shares of what may be generated: of one model's answers, of its tasks, of the completions of
prompts that invite a secret, of the few-shot prompt. Three models' answers, one's tasks and the
rest are together 0.95.
"""
TASK_TOKENS = 60
"""Of a usual answer to a task. All models are given the same tasks, and each does one once."""


def suites_of(
    snapshot: Snapshot,
    earlier: Sequence[Snapshot],
    general: Mapping[str, tuple[Example, ...]],
    limits: Sizes,
    exercise: Exercise = NO_EXERCISE,
    *,
    aside: Sequence[Example] = (),
    fixed: Sequence[Example] = (),
) -> Suites:
    """The suites of a cycle. `earlier`: the snapshots behind the live version, oldest first.

    `aside`: questions that are not about the fresh work, put between those that are. `fixed`: what
    every version is measured on.
    """
    fitting = partial(within, context=limits.longest, first=limits.first)
    gate = gate_suite(snapshot)
    questions = choose_questions(gate)
    helped = with_few_shots(
        snapshot,
        choose_questions(questions, limit=FEW_SHOT_QUESTIONS),
        room=limits.context - limits.answer,
    )
    return Suites(
        fitting(gate),
        fitting(old_suite(snapshot, earlier)),
        {name: fitting(suite) for name, suite in general.items()},
        between(questions, aside),
        helped,
        exercise,
        fitting(snapshot.split("dev")),
        tuple(aside),
        fitting(fixed),
    )


def between(questions: Sequence[Example], aside: Sequence[Example]) -> tuple[Example, ...]:
    """The questions with those aside spread over them, so that any beginning has both."""
    places = [((n + 1) / (len(questions) + 1), 0, n) for n in range(len(questions))]
    places += [((n + 1) / (len(aside) + 1), 1, n) for n in range(len(aside))]
    return tuple((questions, aside)[kind][n] for _, kind, n in sorted(places))


def tasks_within(limit: int, generated: int) -> int:
    """How many tasks, of `limit` at most, are paid for by their share of what is generated."""
    return min(limit, int(TASKS * generated) // TASK_TOKENS)


@dataclass(frozen=True, slots=True)
class AnswerMeasurements:
    """What a served model answered."""

    behaviour: Behaviour
    execution: Execution
    completions: tuple[str, ...] = ()
    """Of the prompts that invite a secret, if they were put to it."""
    few_shot: Behaviour | None = None
    """With examples in its prompt, if that was asked for: the competitor that needs no training.

    None if no example fits into the context.
    """


def measure_answers(
    server: Asking,
    model: str,
    suites: Suites,
    limits: Sizes,
    purse: Purse,
    *,
    inviting: Sequence[str] = (),
    few_shot: bool = False,
) -> AnswerMeasurements:
    """Everything that one served model is asked. Raises ServerError.

    What it answered before is not asked again, unless prompts that invite a secret are put to it:
    then its answers are searched for secrets too.
    """
    behaviour = measure_behaviour(
        server,
        model,
        suites.questions,
        answer_tokens=limits.answer,
        allowance=purse.share(QUESTIONS),
        aside={example.id for example in suites.aside},
        known=AnswerCache(
            served_cache(server, model, limits.cache, "answered"),
            limits.answer,
            server.version(),
            new=bool(inviting),
        ),
    )
    execution = measure_execution(
        server,
        model,
        suites.exercise,
        answer_tokens=limits.answer,
        cache=limits.cache,
        clock=server.clock,
        allowance=purse.share(TASKS),
    )
    completions = complete_prompts(server, model, inviting, purse.share(INVITING))
    helped = None
    if few_shot and suites.helped:
        helped = measure_behaviour(
            server,
            model,
            suites.helped,
            answer_tokens=limits.answer,
            allowance=purse.share(FEW_SHOT),
        )
    return AnswerMeasurements(behaviour, execution, completions, helped)


def measurements_of(file: FileMeasurements, answers: AnswerMeasurements) -> Measurements:
    """Both together, as the gate compares them."""
    return Measurements(file.gate, file.old, file.general, answers.behaviour, answers.execution)


def on_common_questions(answers: Mapping[str, AnswerMeasurements]) -> dict[str, AnswerMeasurements]:
    """The answers to the questions that every model was asked, so that they can be paired."""
    asked = [set(a.behaviour.ids) for a in answers.values()]
    common = set.intersection(*asked) if asked else set()
    return {
        model: replace(measured, behaviour=_answers_to(measured.behaviour, common))
        for model, measured in answers.items()
    }


def _answers_to(behaviour: Behaviour, ids: set[str]) -> Behaviour:
    kept = [n for n, name in enumerate(behaviour.ids) if name in ids]
    return replace(
        behaviour,
        ids=tuple(behaviour.ids[n] for n in kept),
        similarity=tuple(behaviour.similarity[n] for n in kept),
        coherent=tuple(behaviour.coherent[n] for n in kept),
        answers=tuple(behaviour.answers[n] for n in kept),
    )


SPEED_ROUNDS, SPEED_QUESTIONS, SPEED_TOKENS = 3, 8, 8
"""Rounds of questions in which two speeds are compared, and the length of an answer: many short
ones, so that some fall between what else the machine does.
"""
FOR_SPEEDS = 2 * SPEED_ROUNDS * SPEED_QUESTIONS * SPEED_TOKENS
"""Tokens that this takes at most."""


def same_moment_speeds(
    server: Ollama,
    models: tuple[str, str],
    measured: tuple[Measurements, Measurements],
    suites: Suites,
) -> tuple[Measurements, Measurements]:
    """Two models' measurements with their speeds measured again, in turns.

    The best answer of each is taken, so what else the machine did while one of them was measured no
    longer counts.
    """
    best = [0.0, 0.0]
    for example in choose_questions(suites.questions, limit=SPEED_QUESTIONS) * SPEED_ROUNDS:
        for n, model in enumerate(models):
            answer = measure_behaviour(server, model, [example], answer_tokens=SPEED_TOKENS)
            best[n] = max(best[n], answer.tokens_per_second)
    one, two = (
        replace(m, behaviour=replace(m.behaviour, tokens_per_second=speed))
        for m, speed in zip(measured, best, strict=True)
    )
    return one, two


def leaks_of(
    files: tuple[Path, Path],
    answers: AnswerMeasurements,
    inviting: Sequence[str],
    suites: Suites,
    limits: Sizes,
    vocabulary: Vocabulary,
    seen: SeenSecrets = NOTHING_SEEN,
) -> LeaksFound:
    """The secret-shaped texts in a candidate's answers and in its completions, and those `seen`.

    The completions are of prompts that invite a secret. `files`: the candidate's own and the
    base's. Raises ModelError.
    """
    generated = (
        *completion_texts(inviting, answers.completions, vocabulary),
        *answer_texts(suites.questions, answers.behaviour),
    )
    candidate, base = files
    return find_leaks(
        generated,
        candidate,
        base,
        vocabulary,
        context=limits.context,
        seen=seen,
        tokens=limits.leaks,
    )
