"""The numbers of the packed file, by llama.cpp.

They count: they are measured on the very bytes that would be served. The token that ends an answer
is apart (`end`): models learn it first, and it says nothing about what they write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, TypeVar

from qi_learn.bench.tasks import BenchTask
from qi_learn.dataset.examples import Tokenizer
from qi_learn.gate.reading import suite_of
from qi_learn.gate.suite import likest_shots, with_shots
from qi_learn.gate.temperature import TemperatureFit
from qi_learn.outside.llama_cpp_nll import Scorer, SequenceNll, Text, TokenVisitor
from qi_learn.records import Example, SuiteNll
from qi_learn.stats import mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONTEXT = 2048
BETWEEN = 32
"""Tokens that may come between the examples of a prompt."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class FileFigures:
    """One file's numbers, per task."""

    accuracy: tuple[float, ...]
    """Share of the person's tokens of the tests that it would have written itself."""
    nll: tuple[float, ...]
    """NLL of the person's tokens, nats per token."""
    end: tuple[float, ...]
    """NLL of the token that ends an answer, nats."""
    conditional: tuple[float, ...]
    """Share of a task's rules decided rightly, of those whose condition holds and of the others
    alike: 0.5 for a learner with one form for all. NaN if the task has no rules.
    """
    texts: tuple[tuple[float, ...], ...]
    """NLL of each test's whole text, nats."""


@dataclass(frozen=True, slots=True)
class TaskMeasurement:
    """A file's numbers on tasks, and the same as the gate compares them.

    All tests are fresh work, and a project is a session.
    """

    served: FileFigures
    fresh: SuiteNll


@dataclass(frozen=True, slots=True)
class ScoredText:
    """One target under one file, in all and token by token, without the token that ends it."""

    sums: SequenceNll
    nll: tuple[float, ...]
    right: tuple[bool, ...]
    """Whether the model itself would have written the token."""


def score_texts(
    scorer: Scorer, examples: Sequence[Example], *, temperature: float = 1.0
) -> list[ScoredText]:
    """Each example's target. `temperature`: for the person's tokens in `sums` alone."""
    tokens: list[tuple[float, bool]] = []

    def take(logits: NDArray[np.float32], token: int, _persons: bool) -> None:
        tokens.append((token_nll(logits, token), int(logits.argmax()) == token))

    texts = [text_of(e) for e in examples]
    found: dict[int, ScoredText] = {}
    for index, sums in scorer.score_each(texts, temperature=temperature, each=take):
        nll, right = zip(*tokens, strict=True) if tokens else ((), ())
        found[index] = ScoredText(sums, nll, right)
        tokens.clear()
    return [found[index] for index in range(len(examples))]


def text_of(example: Example) -> Text:
    """An example as it is read."""
    return Text(example.prompt_ids, example.target_ids, example.code_mask, example.person_mask)


def token_nll(logits: NDArray[np.float32], token: int) -> float:
    """-ln softmax(logits)[token], the sum in float64."""
    import numpy as np

    top = logits.max()
    total = np.exp(logits - top).sum(dtype=np.float64)
    return float(np.log(total) + (float(top) - float(logits[token])))


def fit_temperature(scorer: Scorer, examples: Sequence[Example]) -> float:
    """The temperature at which the file finds the person's tokens of the examples likeliest."""
    fit = TemperatureFit()
    visit: TokenVisitor = fit.take
    for _ in scorer.score_each([text_of(e) for e in examples], each=visit):
        pass
    return fit.temperature()


def measure_tasks(scorer: Scorer, tasks: Sequence[BenchTask]) -> TaskMeasurement:
    """The numbers of a file on every task's test; its temperature is fitted on their dev."""
    temperature = fit_temperature(scorer, [e for task in tasks for e in task.dev])
    asked = [e for task in tasks for e in task.test]
    scored = score_texts(scorer, asked, temperature=temperature)
    parts = list(_by_task(tasks, scored))
    served = FileFigures(
        accuracy=tuple(_share(task, part) for task, part in parts),
        nll=tuple(_own_nll(task, part) for task, part in parts),
        end=tuple(mean([one.sums.end_nll for one in part]) for _, part in parts),
        conditional=tuple(_conditional(task, part) for task, part in parts),
        texts=tuple(tuple(one.sums.nll for one in part) for _, part in parts),
    )
    return TaskMeasurement(
        served, suite_of("gate", asked, [one.sums for one in scored], temperature)
    )


def measure_in_context(
    scorer: Scorer, tasks: Sequence[BenchTask], vocabulary: Tokenizer
) -> FileFigures:
    """The base with two examples of the task in its prompt: what needs no training.

    Those that were asked most alike, as the gate takes them.
    """
    return measure_tasks(scorer, [_in_context(task, scorer, vocabulary) for task in tasks]).served


def _in_context(task: BenchTask, scorer: Scorer, vocabulary: Tokenizer) -> BenchTask:
    room = scorer.context - max(len(e.target_ids) for e in task.test) - BETWEEN
    shots = likest_shots(task.train, task.test, room=room)
    asked = zip(task.test, shots, strict=True)
    return replace(task, test=tuple(_with_shots(e, own, vocabulary) for e, own in asked))


def _with_shots(example: Example, shots: Sequence[Example], vocabulary: Tokenizer) -> Example:
    prompt = str(with_shots(example.ask, shots)["body"]["prompt"])
    return replace(example, prompt=prompt, prompt_ids=tuple(vocabulary.prompt_ids(prompt)))


def _by_task(
    tasks: Sequence[BenchTask], scored: Sequence[ScoredText]
) -> Iterator[tuple[BenchTask, Sequence[ScoredText]]]:
    at = 0
    for task in tasks:
        yield task, scored[at : at + len(task.test)]
        at += len(task.test)


def _share(task: BenchTask, scored: Sequence[ScoredText]) -> float:
    """Share of the person's tokens that are right."""
    right = [r for e, one in zip(task.test, scored, strict=True) for r in _own(e, one.right)]
    return mean(right)


def _own_nll(task: BenchTask, scored: Sequence[ScoredText]) -> float:
    return mean([n for e, one in zip(task.test, scored, strict=True) for n in _own(e, one.nll)])


def _own(example: Example, values: Sequence[Value]) -> Iterator[Value]:
    """Of one value for each token those of the person's; the last token has none."""
    return compress(values, example.person_mask)


def _conditional(task: BenchTask, scored: Sequence[ScoredText]) -> float:
    decided = [
        (rule.applies, one.right[rule.token])
        for rules, one in zip(task.deciding, scored, strict=bool(task.deciding))
        for rule in rules
    ]
    sides = [[right for applies, right in decided if applies is side] for side in (True, False)]
    return mean([mean(side) for side in sides if side]) if decided else math.nan
