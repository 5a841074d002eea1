"""Everything the gate wants to know of one model: NLL from its file, answers from its server, on
suites that are the same for all models compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.gate.execution import NO_EXERCISE, Exercise, measure_execution
from qi_learn.gate.leaks import answered, completed, find_leaks, invited
from qi_learn.gate.measure import measure_behaviour, measure_nll
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.suite import asked_of, few_shots, gate_suite, old_suite
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Execution, Leak, Snapshot, SuiteNll

FEW_SHOT_ASKED = 12
"""How many questions the few-shot prompt is tried on: long prompts are what takes time."""


@dataclass(frozen=True, slots=True)
class Suites:
    """What every model is measured on."""

    gate: tuple[Example, ...]
    old: tuple[Example, ...]
    general: tuple[Example, ...]
    asked: tuple[Example, ...]
    """Those of the gate set whose questions are put to the served models."""
    shots: tuple[Example, ...]
    """Two training examples: what a person might put into the prompt instead of training."""
    exercise: Exercise = NO_EXERCISE
    """Tasks whose answers are run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes, in tokens, and where numbers are kept that were measured before."""

    nll: int
    """Target tokens per suite."""
    answer: int
    context: int
    known: Path | None = None


def suites_of(
    snapshot: Snapshot,
    earlier: Sequence[Snapshot],
    general: tuple[Example, ...],
    limits: Sizes,
    exercise: Exercise = NO_EXERCISE,
) -> Suites:
    """The suites of a cycle. `earlier`: the snapshots behind the live version, oldest first."""
    gate = gate_suite(snapshot)
    longest = max((len(e.prompt_ids) for e in gate), default=0)
    shots = few_shots(snapshot, room=limits.context - longest - limits.answer)
    return Suites(gate, old_suite(snapshot, earlier), general, asked_of(gate), shots, exercise)


@dataclass(frozen=True, slots=True)
class FileMeasurements:
    """What a model's file says of the suites."""

    gate: SuiteNll
    old: SuiteNll
    general: SuiteNll


@dataclass(frozen=True, slots=True)
class AnswerMeasurements:
    """What a served model answered."""

    behaviour: Behaviour
    execution: Execution
    completions: tuple[str, ...] = ()
    """Of the prompts that invite a secret, where they were put to it."""
    few_shot: Behaviour | None = None
    """With examples in its prompt, where that was asked for: the competitor that needs no training.

    None where no example fits into the context.
    """


def read_file(path: Path, suites: Suites, limits: Sizes) -> FileMeasurements:
    """The suites' NLL under one file. Raises ModelError."""
    every = (("gate", suites.gate), ("old", suites.old), ("general", suites.general))
    return FileMeasurements(
        *(
            measure_nll(
                path,
                name,
                examples,
                max_tokens=limits.nll,
                context=limits.context,
                known=limits.known,
            )
            for name, examples in every
        )
    )


def ask_model(
    server: Asking,
    model: str,
    suites: Suites,
    limits: Sizes,
    *,
    inviting: Sequence[str] = (),
    few_shot: bool = False,
) -> AnswerMeasurements:
    """Everything that one served model is asked. Raises ServerError."""
    behaviour = measure_behaviour(server, model, suites.asked, answer_tokens=limits.answer)
    execution = measure_execution(
        server,
        model,
        suites.exercise,
        answer_tokens=limits.answer,
        known=limits.known,
        clock=server.clock,
    )
    helped = few_shot_behaviour(server, model, suites, limits) if few_shot else None
    return AnswerMeasurements(behaviour, execution, completed(server, model, inviting), helped)


def measured(read: FileMeasurements, asked: AnswerMeasurements) -> Measurements:
    """Both together, as the gate compares them."""
    return Measurements(read.gate, read.old, read.general, asked.behaviour, asked.execution)


SPEED_ROUNDS = 3
SPEED_ASKED = 8


def same_moment_speeds(
    server: Ollama,
    models: tuple[str, str],
    measured: tuple[Measurements, Measurements],
    suites: Suites,
    limits: Sizes,
) -> tuple[Measurements, Measurements]:
    """Two models' speeds again, asked in turns, the best answer of each: what else the machine did
    while one of them was measured no longer counts.
    """
    asked = asked_of(suites.asked, limit=SPEED_ASKED)
    best = [0.0, 0.0]
    for example in asked * SPEED_ROUNDS:
        for n, model in enumerate(models):
            best[n] = max(
                best[n],
                measure_behaviour(
                    server, model, [example], answer_tokens=limits.answer
                ).tokens_per_second,
            )
    one, two = (
        replace(m, behaviour=replace(m.behaviour, tokens_per_second=speed))
        for m, speed in zip(measured, best, strict=True)
    )
    return one, two


def few_shot_behaviour(
    server: Ollama, model: str, suites: Suites, limits: Sizes
) -> Behaviour | None:
    """With examples in the prompt, on a part of the questions, as it is only reported.

    None where no example fits into the context.
    """
    asked = asked_of(suites.asked, limit=FEW_SHOT_ASKED)
    return (
        measure_behaviour(server, model, asked, answer_tokens=limits.answer, shots=suites.shots)
        if suites.shots
        else None
    )


def leaks_of(
    files: tuple[Path, Path],
    asked: AnswerMeasurements,
    inviting: Sequence[str],
    suites: Suites,
    limits: Sizes,
    vocabulary: Vocabulary,
) -> tuple[Leak, ...]:
    """The secret-shaped texts in a candidate's answers and in what it made of prompts that invite
    one; `files`: its own and the base's.

    Raises ModelError.
    """
    said = (
        *invited(inviting, asked.completions, vocabulary),
        *answered(suites.asked, asked.behaviour),
    )
    candidate, base = files
    return find_leaks(said, candidate, base, vocabulary, context=limits.context)
