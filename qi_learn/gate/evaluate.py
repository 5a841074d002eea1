"""Everything that the gate measures of one model.

NLL comes from its file, answers from its server, on suites that are the same for all models
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.gate.execution import NO_EXERCISE, Exercise, measure_execution
from qi_learn.gate.leaks import answer_texts, complete_prompts, completion_texts, find_leaks
from qi_learn.gate.measure import measure_behaviour, measure_nll
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.suite import choose_questions, gate_suite, old_suite, with_few_shots
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Execution, Leak, Snapshot, SuiteNll
from qi_learn.redact import NOTHING_SEEN, SeenSecrets

FEW_SHOT_QUESTIONS = 12
"""Questions that the few-shot prompt is tried on: long prompts are what takes time."""


@dataclass(frozen=True, slots=True)
class Suites:
    """What every model is measured on."""

    gate: tuple[Example, ...]
    old: tuple[Example, ...]
    general: tuple[Example, ...]
    questions: tuple[Example, ...]
    """Those of the gate set whose questions are put to the served models."""
    helped: tuple[Example, ...]
    """A part of them, each with training examples before it: what a person might put into the
    prompt instead of training.
    """
    exercise: Exercise = NO_EXERCISE
    """Tasks whose answers are run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes, in tokens, and the directory of what was measured before."""

    nll: int
    """Target tokens per suite."""
    answer: int
    context: int
    cache: Path | None = None


def suites_of(
    snapshot: Snapshot,
    earlier: Sequence[Snapshot],
    general: tuple[Example, ...],
    limits: Sizes,
    exercise: Exercise = NO_EXERCISE,
) -> Suites:
    """The suites of a cycle. `earlier`: the snapshots behind the live version, oldest first."""
    gate = gate_suite(snapshot)
    questions = choose_questions(gate)
    helped = with_few_shots(
        snapshot,
        choose_questions(questions, limit=FEW_SHOT_QUESTIONS),
        room=limits.context - limits.answer,
    )
    return Suites(gate, old_suite(snapshot, earlier), general, questions, helped, exercise)


@dataclass(frozen=True, slots=True)
class FileMeasurements:
    """The suites' NLL under a model's file."""

    gate: SuiteNll
    old: SuiteNll
    general: SuiteNll


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


def measure_file(path: Path, suites: Suites, limits: Sizes) -> FileMeasurements:
    """The suites' NLL under one file. Raises ModelError."""

    def nll(suite: str, examples: Sequence[Example]) -> SuiteNll:
        return measure_nll(
            path,
            suite,
            examples,
            max_tokens=limits.nll,
            context=limits.context,
            cache=limits.cache,
        )

    return FileMeasurements(
        nll("gate", suites.gate), nll("old", suites.old), nll("general", suites.general)
    )


def measure_answers(
    server: Asking,
    model: str,
    suites: Suites,
    limits: Sizes,
    *,
    inviting: Sequence[str] = (),
    few_shot: bool = False,
) -> AnswerMeasurements:
    """Everything that one served model is asked. Raises ServerError."""
    behaviour = measure_behaviour(server, model, suites.questions, answer_tokens=limits.answer)
    execution = measure_execution(
        server,
        model,
        suites.exercise,
        answer_tokens=limits.answer,
        cache=limits.cache,
        clock=server.clock,
    )
    helped = None
    if few_shot and suites.helped:
        helped = measure_behaviour(server, model, suites.helped, answer_tokens=limits.answer)
    completions = complete_prompts(server, model, inviting)
    return AnswerMeasurements(behaviour, execution, completions, helped)


def measurements_of(file: FileMeasurements, answers: AnswerMeasurements) -> Measurements:
    """Both together, as the gate compares them."""
    return Measurements(file.gate, file.old, file.general, answers.behaviour, answers.execution)


SPEED_ROUNDS = 3
SPEED_QUESTIONS = 8


def same_moment_speeds(
    server: Ollama,
    models: tuple[str, str],
    measured: tuple[Measurements, Measurements],
    suites: Suites,
    limits: Sizes,
) -> tuple[Measurements, Measurements]:
    """Two models' measurements with their speeds measured again, in turns.

    The best answer of each is taken, so what else the machine did while one of them was measured no
    longer counts.
    """
    best = [0.0, 0.0]
    for example in choose_questions(suites.questions, limit=SPEED_QUESTIONS) * SPEED_ROUNDS:
        for n, model in enumerate(models):
            answer = measure_behaviour(server, model, [example], answer_tokens=limits.answer)
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
) -> tuple[Leak, ...]:
    """The secret-shaped texts in a candidate's answers and in its completions, and those `seen`.

    The completions are of prompts that invite a secret. `files`: the candidate's own and the
    base's. Raises ModelError.
    """
    generated = (
        *completion_texts(inviting, answers.completions, vocabulary),
        *answer_texts(suites.questions, answers.behaviour),
    )
    candidate, base = files
    return find_leaks(generated, candidate, base, vocabulary, context=limits.context, seen=seen)
