"""Everything that a served model is asked, and the suites of a cycle.

They are the same for all models compared, and as much of them as the gate may generate (`budget`).
What is measured of a model's file: `read_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from qi_learn import __version__
from qi_learn.gate.answer_cache import AnswerCache, served_cache
from qi_learn.gate.budget import within
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
from qi_learn.gate.measurements import Measurements, together
from qi_learn.gate.purse import Purse
from qi_learn.gate.questions import SHARES, Shares, in_order_of_use
from qi_learn.gate.read_files import FileMeasurements
from qi_learn.gate.suite import QUESTIONS, gate_suite, old_suite, with_few_shots
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Execution, Snapshot
from qi_learn.redact import NOTHING_SEEN, SeenSecrets

FEW_SHOT_QUESTIONS = 12
"""Questions that the few-shot prompt is tried on: long prompts are what takes time."""
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

    `aside`: questions that are not about the fresh work. `fixed`: what every version is measured
    on.
    """
    fitting = partial(within, context=limits.longest, marks=limits.marks)
    gate = gate_suite(snapshot)
    questions = in_order_of_use(gate)[:QUESTIONS]
    helped = with_few_shots(
        snapshot, questions[:FEW_SHOT_QUESTIONS], room=limits.context - limits.answer
    )
    return Suites(
        fitting(gate),
        fitting(old_suite(snapshot, earlier)),
        {name: fitting(suite) for name, suite in general.items()},
        questions,
        helped,
        exercise,
        tuple(aside),
        fitting(fixed),
    )


def tasks_within(limit: int, generated: int, shares: Shares = SHARES) -> int:
    """How many tasks, of `limit` at most, are paid for by their share of what is generated."""
    return min(limit, int(shares.tasks * generated) // TASK_TOKENS)


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
class AskingPart:
    """What one model is asked besides the questions of fresh work, and what each may take."""

    own: float
    """Its share of the purse for the questions of fresh work."""
    shares: Shares
    newcomers: int = 1
    """Models that the same questions aside and tasks are put to for the first time."""
    texts: bool = False
    """Whether the answers themselves are wanted, not only what they are worth."""
    inviting: tuple[str, ...] = ()
    """Prompts that invite a secret."""
    few_shot: bool = False


def measure_answers(
    server: Asking, model: str, suites: Suites, limits: Sizes, purse: Purse, part: AskingPart
) -> AnswerMeasurements:
    """Everything that one served model is asked. Raises ServerError.

    What it answered before is not asked again, unless the answers themselves are wanted; those to
    the questions aside only where they are searched for secrets.
    """
    own = measure_behaviour(
        server,
        model,
        suites.questions,
        answer_tokens=limits.answer,
        allowance=purse.share(part.own),
        known=_known(server, model, limits, new=part.texts),
    )
    aside = measure_behaviour(
        server,
        model,
        suites.aside,
        answer_tokens=limits.answer,
        allowance=purse.share(part.shares.aside / part.newcomers),
        usual=True,
        known=_known(server, model, limits, new=bool(part.inviting)),
    )
    execution = measure_execution(
        server,
        model,
        suites.exercise,
        answer_tokens=limits.answer,
        cache=limits.cache,
        served=limits.served,
        clock=server.clock,
        allowance=purse.share(part.shares.tasks / part.newcomers),
    )
    completions = complete_prompts(server, model, part.inviting, purse.share(part.shares.inviting))
    helped = None
    if part.few_shot and suites.helped:
        helped = measure_behaviour(
            server,
            model,
            suites.helped,
            answer_tokens=limits.answer,
            allowance=purse.share(part.shares.few_shot),
        )
    return AnswerMeasurements(together(own, aside), execution, completions, helped)


def newcomers(server: Ollama, models: Sequence[str], suites: Suites, limits: Sizes) -> int:
    """How many of the models were not asked the questions aside before; at least one.

    The candidate is asked them anew, even if a gate that was broken off had asked it.
    """
    known = [_known(server, model, limits) for model in models]
    return max(1, sum(not answers.knows(suites.aside, usual=True) for answers in known))


def _known(server: Ollama, model: str, limits: Sizes, *, new: bool = False) -> AnswerCache:
    conditions = limits.answer, limits.context, limits.served, __version__
    return AnswerCache(served_cache(server, model, limits.cache, "answered"), *conditions, new=new)


def measurements_of(file: FileMeasurements, answers: AnswerMeasurements) -> Measurements:
    """Both together, as the gate compares them."""
    return Measurements(file.gate, file.old, file.general, answers.behaviour, answers.execution)


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
    for example in suites.questions[:SPEED_QUESTIONS] * SPEED_ROUNDS:
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
        *answer_texts((*suites.questions, *suites.aside), answers.behaviour),
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
