"""What a benchmark teaches and asks.

Conventions, conditional ones, edits of the model's own answers, or real repositories, as examples
of the product's own form. Prompts are raw completions, as an editor sends them (`/api/generate`
with `raw`): a comment with the request, then the code. The invariant that makes the numbers honest:
no text is both trained on and measured with, checked by hash (`disjoint`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.bench.conditional import ConditionalConvention
from qi_learn.bench.conventions import TRAIN, Convention, FunctionTask, Stage
from qi_learn.bench.edits import Span, edit_prompt, edited, usable_part
from qi_learn.bench.functions import DemoFunction, written
from qi_learn.bench.history_split import split_history
from qi_learn.bench.repositories import repository_functions
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import (
    Tokenizer,
    code_mask,
    content_hash,
    generic_examples,
    target_tokens,
)
from qi_learn.errors import NotFound, QiError
from qi_learn.records import Example, Split

REPOSITORY_TRAIN, REPOSITORY_DEV, REPOSITORY_TEST = 72, 8, 30
"""Functions of a repository: about what a first cycle has, and the next ones to be written."""
EDIT_TESTS, ASKED_AT_ONCE = 16, 16
"""Tests of the stream "edits", and the functions that the base is asked for before it is counted
how many of its answers are usable.
"""


@dataclass(frozen=True, slots=True)
class DecidingToken:
    """A target token at which a rule of a conditional convention shows."""

    token: int
    """Its index in the target."""
    applies: bool
    """Whether the rule's condition holds."""


@dataclass(frozen=True, slots=True)
class BenchTask:
    """One stage of a stream."""

    name: str
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    deciding: tuple[tuple[DecidingToken, ...], ...] = ()
    """For each test; empty if the task has no rules with a condition."""

    @property
    def shots(self) -> int:
        """The examples that a learner gets: a tenth of them for early stopping, as in a cycle."""
        return len(self.train) + len(self.dev)

    def few(self, shots: int) -> BenchTask:
        """The same task with so many examples, the first ones; all of them if there are no more."""
        if shots >= self.shots:
            return self
        dev = max(1, round(shots / 10))
        return replace(self, train=self.train[: shots - dev], dev=self.dev[:dev])

    def shortened(self, train: int, tests: int) -> BenchTask:
        """A small part of everything, for a run that only shows that all works."""
        return replace(
            self,
            train=self.train[:train],
            dev=self.dev[:tests],
            test=self.test[:tests],
            deciding=self.deciding[:tests],
        )


def convention_task(stage: Stage, vocabulary: Tokenizer) -> BenchTask:
    """A convention's functions as examples."""
    return _written_by(stage.convention, stage, vocabulary)


def conditional_task(
    convention: ConditionalConvention, stage: Stage, vocabulary: Tokenizer
) -> BenchTask:
    """The functions of a stage as a conditional convention writes them."""
    task = _written_by(convention, stage, vocabulary)
    deciding = tuple(
        _deciding(convention, asked, example, vocabulary)
        for asked, example in zip(stage.test, task.test, strict=True)
    )
    return replace(task, deciding=deciding)


def _written_by(
    style: Convention | ConditionalConvention, stage: Stage, vocabulary: Tokenizer
) -> BenchTask:
    def examples(tasks: Iterable[FunctionTask], split: Split) -> tuple[Example, ...]:
        return tuple(
            example(style.project, f"# {style.prompt(t)}\n", style.code(t), vocabulary, split)
            for t in tasks
        )

    return BenchTask(
        style.project,
        examples(stage.train, "train"),
        examples(stage.dev, "dev"),
        examples(stage.test, "gate"),
    )


def _deciding(
    convention: ConditionalConvention,
    asked: FunctionTask,
    example: Example,
    vocabulary: Tokenizer,
) -> tuple[DecidingToken, ...]:
    pieces = vocabulary.pieces(example.target_ids[:-1])
    return tuple(
        DecidingToken(
            code_mask(example.target, [(one.at, one.at + 1)], pieces).index(True), one.applies
        )
        for one in convention.decisions(asked)
    )


def edited_task(
    stage: Stage, vocabulary: Tokenizer, answers: Callable[[Sequence[str]], Sequence[str]]
) -> BenchTask:
    """The base's own answers to the functions of a stage, edited to its convention.

    `answers` gives the base's answer to each prompt. A function that it answers with no usable code
    is left out, so there are as many as it has usable answers: first the tests, then those to learn
    from.
    """
    convention = stage.convention
    asked = (*stage.test, *stage.dev, *stage.train)
    tests = min(EDIT_TESTS, len(stage.test))
    learned = tests + len(stage.dev)
    usable: list[tuple[FunctionTask, str]] = []
    for start in range(0, len(asked), ASKED_AT_ONCE):
        if len(usable) >= learned + TRAIN:
            break
        part = asked[start : start + ASKED_AT_ONCE]
        own = map(usable_part, answers([edit_prompt(convention, task) for task in part]))
        usable += [(t, answer) for t, answer in zip(part, own, strict=True) if answer is not None]

    def examples(chosen: slice, split: Split) -> tuple[Example, ...]:
        return tuple(_edited_example(convention, *one, vocabulary, split) for one in usable[chosen])

    return BenchTask(
        convention.project,
        examples(slice(learned, learned + TRAIN), "train"),
        examples(slice(tests, learned), "dev"),
        examples(slice(tests), "gate"),
    )


def _edited_example(
    convention: Convention, task: FunctionTask, answer: str, vocabulary: Tokenizer, split: Split
) -> Example:
    edit, prompt = edited(convention, task, answer), edit_prompt(convention, task)
    return example(convention.project, prompt, edit.text, vocabulary, split, spans=edit.spans)


def repository_task(repository: Path, vocabulary: Tokenizer) -> BenchTask:
    """Functions of a git repository in commit order; the tests came after what is learned.

    Raises NotFound if there are too few.
    """
    learned = REPOSITORY_TRAIN + REPOSITORY_DEV
    history = repository_functions(repository)
    split = split_history(history, learned=learned, tests=REPOSITORY_TEST)
    if (len(split.learned), len(split.tests)) != (learned, REPOSITORY_TEST):
        raise NotFound(
            f"{repository} has {len(history)} usable functions, {len(split.learned)} of them "
            f"before {len(split.tests)} others of later commits; the benchmark takes {learned} and "
            f"{REPOSITORY_TEST}.",
            "Give a larger Python repository, with its history (a shallow clone has none).",
        )
    dev = split.learned[:: learned // REPOSITORY_DEV][:REPOSITORY_DEV]
    name = repository.resolve().name

    def examples(chosen: Iterable[DemoFunction], split: Split) -> tuple[Example, ...]:
        return tuple(example(name, _question(f), written(f), vocabulary, split) for f in chosen)

    return BenchTask(
        name,
        examples((f for f in split.learned if f not in dev), "train"),
        examples(dev, "dev"),
        examples(split.tests, "gate"),
    )


def _question(function: DemoFunction) -> str:
    purpose = f"# {function.summary}\n" if function.summary else ""
    owner = f", class {function.class_name}" if function.class_name else ""
    return f"# File {function.file}{owner}\n{purpose}"


def example(
    project: str,
    prompt: str,
    code: str,
    vocabulary: Tokenizer,
    split: Split,
    *,
    spans: Sequence[Span] | None = None,
) -> Example:
    """A raw completion and the code that was kept, with the model's own end token.

    `spans`: what of it the person wrote; None: all. Raises QiError if the vocabulary cannot write
    the code.
    """
    ids = target_tokens(code, vocabulary)
    if ids is None:
        raise QiError(
            f"The base's vocabulary cannot write the code of {project} exactly.",
            "Take another base model.",
        )
    own = [(0, len(code))] if spans is None else spans
    return Example(
        id=f"{project}:{content_hash(prompt, code)[:16]}",
        hash=content_hash(prompt, code),
        prompt=prompt,
        target=code,
        prompt_ids=tuple(vocabulary.prompt_ids(prompt)),
        target_ids=(*ids, vocabulary.eos),
        code_mask=(*(True for _ in ids), False),
        person_mask=(*code_mask(code, own, vocabulary.pieces(ids)), False),
        split=split,
        session=project,
        project=project,
        domain=project,
        learning_type="code_generation",
        score=1.0,
        kept_code=code,
        ask={"endpoint": "/api/generate", "body": {"prompt": prompt, "raw": True}},
    )


def anchors(vocabulary: Tokenizer) -> tuple[Example, ...]:
    """Generic code for the general Fisher and generic replay: the shipped sequences."""
    return generic_examples(reference_code.anchors(), vocabulary)


def yardsticks(vocabulary: Tokenizer) -> tuple[Example, ...]:
    """Generic code on which a training measures how far it moved."""
    return generic_examples(reference_code.yardsticks(), vocabulary)


def disjoint(
    tasks: Sequence[BenchTask], general: Sequence[Example], shipped: Sequence[Example]
) -> None:
    """Raises QiError if something that is measured with is also trained on, in any stage."""
    learned = {e.hash for t in tasks for e in (*t.train, *t.dev)} | {e.hash for e in shipped}
    asked = {e.hash for t in tasks for e in t.test} | {e.hash for e in general}
    if both := learned & asked:
        raise QiError(
            f"{len(both)} texts are both trained on and measured with.",
            "The benchmark would be worth nothing; take other repositories or seeds.",
        )
