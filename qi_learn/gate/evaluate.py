"""Everything that the gate measures of one model.

NLL comes from its file, answers from its server, on suites that are the same for all models
compared, and as much of them as the gate may read and generate (`budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.gate.budget import Allowance, Purse, Readable, allot, within
from qi_learn.gate.execution import NO_EXERCISE, Exercise, measure_execution
from qi_learn.gate.leaks import answer_texts, complete_prompts, completion_texts, find_leaks
from qi_learn.gate.measure import measure_behaviour
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.reading import FileReader, tokens_of
from qi_learn.gate.suite import choose_questions, few_shots, gate_suite, old_suite
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Execution, Leak, Snapshot, SuiteNll
from qi_learn.redact import NOTHING_SEEN, SeenSecrets

FEW_SHOT_QUESTIONS = 12
"""Questions that the few-shot prompt is tried on: long prompts are what takes time."""
ORDINARY = "python_stdlib"
"""The general suite of ordinary code, which is there on every machine."""
ORDINARY_TEXTS = 8
"""Of its texts beside dev where a temperature is fitted: a dev set of answers that the model gave
itself would have none that it finds likeliest.
"""
QUESTIONS, TASKS, INVITING, FEW_SHOT = 0.19, 0.18, 0.06, 0.05
"""Shares of what may be generated: of one model's answers, of its tasks, of the completions of
prompts that invite a secret, of the few-shot prompt. Three models' answers, one's tasks and the
rest are together 0.86; speeds that are measured again take some of what is left.
"""


@dataclass(frozen=True, slots=True)
class Suites:
    """What every model is measured on."""

    gate: tuple[Example, ...]
    old: tuple[Example, ...]
    general: Mapping[str, tuple[Example, ...]]
    """By the suite's name."""
    questions: tuple[Example, ...]
    """Those of the gate set whose questions are put to the served models."""
    shots: tuple[Example, ...]
    """Two training examples: what a person might put into the prompt instead of training."""
    exercise: Exercise = NO_EXERCISE
    """Tasks whose answers are run."""
    dev: tuple[Example, ...] = ()
    """What each model's temperature is fitted on, beside ordinary code."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes, in tokens, and the directory of what was measured before."""

    read: int
    """What all models together may read."""
    answer: int
    """Longest answer."""
    context: int
    """Of the server."""
    longest: int
    """Longest text that the models were made for."""
    cache: Path | None = None


def suites_of(
    snapshot: Snapshot,
    earlier: Sequence[Snapshot],
    general: Mapping[str, tuple[Example, ...]],
    limits: Sizes,
    exercise: Exercise = NO_EXERCISE,
) -> Suites:
    """The suites of a cycle. `earlier`: the snapshots behind the live version, oldest first."""
    gate = gate_suite(snapshot)
    longest = max((len(e.prompt_ids) for e in gate), default=0)
    return Suites(
        within(gate, context=limits.longest),
        within(old_suite(snapshot, earlier), context=limits.longest),
        {name: within(suite, context=limits.longest) for name, suite in general.items()},
        choose_questions(gate),
        few_shots(snapshot, room=limits.context - longest - limits.answer),
        exercise,
        within(snapshot.split("dev"), context=limits.longest),
    )


@dataclass(frozen=True, slots=True)
class FileMeasurements:
    """The suites' NLL under a model's file."""

    gate: SuiteNll
    old: SuiteNll
    general: Mapping[str, SuiteNll]


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of each model's file, and what it took."""

    models: Mapping[str, FileMeasurements]
    suites: Readable
    tokens: int
    """Tokens evaluated."""
    seconds: float


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


@dataclass(frozen=True, slots=True)
class ReadingDevice:
    """Where and when files are read."""

    gpu_layers: int = 0
    threads: int | None = None
    pause: Callable[[], None] = field(default=lambda: None)
    """Called before each text."""


def measure_files(
    files: Mapping[str, Path], suites: Suites, limits: Sizes, device: ReadingDevice | None = None
) -> Read:
    """The suites' NLL under each model's file. Raises ModelError."""
    device = device or ReadingDevice()
    everything = (
        *(suites.gate + suites.old + suites.dev),
        *(example for suite in suites.general.values() for example in suite),
    )
    context = max((len(e.prompt_ids) + len(e.target_ids) for e in everything), default=1)
    readers = {
        model: FileReader(
            path,
            context=context,
            threads=device.threads,
            cache=limits.cache,
            gpu_layers=device.gpu_layers,
            pause=device.pause,
        )
        for model, path in files.items()
    }
    readable = allot(
        limits.read,
        gate=suites.gate,
        old=suites.old,
        general=suites.general,
        dev=suites.dev,
        cost=lambda examples: sum(reader.to_read(examples) for reader in readers.values()),
        # at a temperature that is not known yet nothing was measured before
        afresh=lambda examples: len(readers) * tokens_of(examples),
    )
    fitted_on = fitting_texts(readable.dev, suites.general)
    models: dict[str, FileMeasurements] = {}
    for model, reader in readers.items():
        with reader:
            temperature = reader.temperature(fitted_on)
            models[model] = FileMeasurements(
                reader.nll("gate", readable.gate, temperature),
                reader.nll("old", readable.old),
                {name: reader.nll(name, suite) for name, suite in readable.general.items()},
            )
    tokens = sum(reader.evaluated for reader in readers.values())
    return Read(models, readable, tokens, sum(reader.seconds for reader in readers.values()))


def fitting_texts(
    dev: Sequence[Example], general: Mapping[str, Sequence[Example]]
) -> tuple[Example, ...]:
    """What a model's temperature is fitted on: dev and a little ordinary code."""
    return (*dev, *general.get(ORDINARY, ())[:ORDINARY_TEXTS])


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
    """Everything that one served model is asked. Raises ServerError."""
    behaviour = measure_behaviour(
        server,
        model,
        suites.questions,
        answer_tokens=limits.answer,
        allowance=purse.share(QUESTIONS),
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
    helped = (
        few_shot_behaviour(server, model, suites, limits, purse.share(FEW_SHOT))
        if few_shot
        else None
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


SPEED_ROUNDS, SPEED_QUESTIONS, SPEED_TOKENS = 2, 2, 48
"""Rounds of questions in which two speeds are compared, and the length of an answer."""


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


def few_shot_behaviour(
    server: Ollama, model: str, suites: Suites, limits: Sizes, allowance: Allowance
) -> Behaviour | None:
    """Behaviour with examples in the prompt, on a part of the questions, since it is only reported.

    None if no example fits into the context.
    """
    if not suites.shots:
        return None
    questions = choose_questions(suites.questions, limit=FEW_SHOT_QUESTIONS)
    return measure_behaviour(
        server,
        model,
        questions,
        answer_tokens=limits.answer,
        shots=suites.shots,
        allowance=allowance,
    )


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
