"""What the demonstration measures besides the gate: functions that were never asked for, and
general code, under two versions' own files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qi_learn.bench.functions import DemoFunction, prompt_for, written
from qi_learn.dataset.examples import Tokenizer, code_mask, content_hash, target_tokens
from qi_learn.gate.measure import measure_behaviour, measure_nll
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.outside.ollama_parallel import side_by_side
from qi_learn.records import Behaviour, Example, SuiteNll
from qi_learn.stats import evenly, mean_interval, paired_interval

ASKED = 12
"""How many held-out functions are also asked for: an answer takes a second."""


@dataclass(frozen=True, slots=True)
class SuiteChange:
    """NLL per token of one suite under two files, and the interval of the paired difference (after
    - before; below 0 is better).
    """

    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """Edit similarity of the answers to the author's code under two versions, and the interval of
    the difference (above 0 is better).
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
    """The functions as questions with the author's code, in a fence, as the answer; functions that
    do not fit the vocabulary's text are left out.
    """
    found = [_example(f, server, model, vocabulary) for f in functions]
    return tuple(e for e in found if e is not None)


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
        split="gate",
        session=function.module,
        kept_code=code,
        ask={"endpoint": "/api/chat", "body": body},
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """NLL of held-out functions under versions of the demonstration's server; a version is measured
    once on each function.
    """

    base: Path
    context: int
    known: Path

    def change(
        self, server: Ollama, examples: Sequence[Example], before: str, after: str
    ) -> SuiteChange:
        """Both versions on the same functions."""
        first, second = (self._nll(server, examples, model) for model in (before, after))
        differences = [b - a for a, b in zip(first.nll, second.nll, strict=True)]
        interval = paired_interval(differences, [float(t) for t in first.tokens], first.units)
        return SuiteChange(first.per_token, second.per_token, interval.low, interval.high)

    def _nll(self, server: Ollama, examples: Sequence[Example], model: str) -> SuiteNll:
        path = served_file(server, model) or self.base
        return measure_nll(
            path, "held out", examples, max_tokens=10**9, context=self.context, cache=self.known
        )


def compare_answers(
    examples: Sequence[Example],
    server: Ollama,
    before: str,
    after: str,
    *,
    answer_tokens: int,
    at_once: int,
) -> AnswerChange:
    """Both served models asked for the same functions, greedy; `at_once`: how many of them at a
    time.
    """
    asked = evenly(examples, ASKED)
    series = [
        partial(measure_behaviour, model=model, examples=asked, answer_tokens=answer_tokens)
        for model in (before, after)
    ]
    first, second = side_by_side(server, series, at_once=at_once)
    interval = mean_interval(
        [b - a for a, b in zip(first.similarity, second.similarity, strict=True)]
    )
    best = max(range(len(asked)), key=lambda i: second.similarity[i] - first.similarity[i])
    return AnswerChange(
        _mean(first),
        _mean(second),
        interval.low,
        interval.high,
        len(asked),
        (asked[best].kept_code, first.answers[best], second.answers[best]),
    )


def _mean(measured: Behaviour) -> float:
    return sum(measured.similarity) / len(measured.similarity)
