"""What the demonstration measures besides the gate: functions that were never asked for.

They are measured under two versions' own files and in their answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qi_learn.bench.functions import DemoFunction, prompt_for, written
from qi_learn.dataset.examples import Tokenizer, code_mask, content_hash, target_tokens
from qi_learn.gate.measure import measure_behaviour
from qi_learn.gate.reading import measure_nll
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.outside.ollama_parallel import side_by_side
from qi_learn.records import Behaviour, Example, SuiteNll
from qi_learn.stats import mean_interval, paired_interval


@dataclass(frozen=True, slots=True)
class SuiteChange:
    """NLL per token of one suite under two files, and the interval of the paired difference.

    The difference is after - before; below 0 is better.
    """

    before: float
    after: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.before:.3f} to {self.after:.3f} "
            f"(difference {self.low:+.3f} to {self.high:+.3f})"
        )


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """Edit similarity of the answers to the author's code under two versions.

    With the interval of the difference (above 0 is better).
    """

    before: float
    after: float
    low: float
    high: float
    count: int
    first: tuple[str, str, str]
    """One case: the author's code and the two answers."""


def held_out_examples(
    functions: Sequence[DemoFunction], server: Ollama, model: str, vocabulary: Tokenizer
) -> tuple[Example, ...]:
    """The functions as questions with the author's code, in a fence, as the answer.

    A function whose text the vocabulary cannot write is left out.
    """
    examples = [_example(f, server, model, vocabulary) for f in functions]
    return tuple(e for e in examples if e is not None)


def _example(
    function: DemoFunction, server: Ollama, model: str, vocabulary: Tokenizer
) -> Example | None:
    body = {"messages": [{"role": "user", "content": prompt_for(function)}]}
    prompt = server.render("/api/chat", {**body, "model": model})
    code = written(function)
    target = f"```python\n{code}```"
    ids = target_tokens(target, vocabulary)
    if ids is None:
        return None
    mask = (*code_mask(target, [(10, 10 + len(code))], vocabulary.pieces(ids)), False)
    return Example(
        id=f"{function.file}:{function.name}",
        hash=content_hash(prompt, target),
        prompt=prompt,
        target=target,
        prompt_ids=tuple(vocabulary.prompt_ids(prompt)),
        target_ids=(*ids, vocabulary.end_of_turn()),
        code_mask=mask,
        person_mask=mask,
        split="gate",
        session=function.module,
        kept_code=code,
        ask={"endpoint": "/api/chat", "body": body},
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """NLL of held-out functions under versions of the demonstration's server.

    A version is measured once on each function.
    """

    base: Path
    context: int
    cache: Path
    """The directory of what was measured before."""

    def change(
        self, server: Ollama, examples: Sequence[Example], before: str, after: str
    ) -> SuiteChange:
        """The change from one version to the other, on the same functions."""
        first, second = (self._nll(server, examples, model) for model in (before, after))
        differences = [b - a for a, b in zip(first.nll, second.nll, strict=True)]
        interval = paired_interval(differences, [float(t) for t in first.tokens], first.units)
        return SuiteChange(first.per_token, second.per_token, interval.low, interval.high)

    def _nll(self, server: Ollama, examples: Sequence[Example], model: str) -> SuiteNll:
        path = served_file(server, model) or self.base
        return measure_nll(path, "held out", examples, context=self.context, cache=self.cache)


def compare_answers(
    examples: Sequence[Example],
    server: Ollama,
    before: str,
    after: str,
    *,
    answer_tokens: int,
    at_once: int,
) -> AnswerChange:
    """Both served models' greedy answers on the same functions, `at_once` models at a time."""
    questions = [
        partial(measure_behaviour, model=model, examples=examples, answer_tokens=answer_tokens)
        for model in (before, after)
    ]
    first, second = side_by_side(server, questions, at_once=at_once)
    interval = mean_interval(
        [b - a for a, b in zip(first.similarity, second.similarity, strict=True)]
    )
    best = max(range(len(examples)), key=lambda i: second.similarity[i] - first.similarity[i])
    return AnswerChange(
        _mean(first),
        _mean(second),
        interval.low,
        interval.high,
        len(examples),
        (examples[best].kept_code, first.answers[best], second.answers[best]),
    )


def _mean(measured: Behaviour) -> float:
    return sum(measured.similarity) / len(measured.similarity)
