"""What a benchmark teaches and asks.

Conventions or real repositories as examples of the product's own form, and general code beside
them. Prompts are raw completions, as an editor sends them (`/api/generate` with `raw`): a comment
with the request, then the code. The invariant that makes the numbers honest: no text is both
trained on and measured with, checked by hash (`disjoint`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.bench.conventions import Stage
from qi_learn.bench.functions import DemoFunction, written
from qi_learn.bench.repositories import repository_functions
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import Tokenizer, content_hash, generic_examples, target_tokens
from qi_learn.errors import NotFound, QiError
from qi_learn.records import Example, Split

REPOSITORY_TRAIN, REPOSITORY_DEV, REPOSITORY_TEST = 72, 8, 30
"""Functions of a repository: about what a first cycle has."""


@dataclass(frozen=True, slots=True)
class BenchTask:
    """One stage of a stream."""

    name: str
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]


def convention_task(stage: Stage, vocabulary: Tokenizer) -> BenchTask:
    """A convention's functions as examples."""
    convention = stage.convention

    def made(split: Split) -> tuple[Example, ...]:
        tasks = {"train": stage.train, "dev": stage.dev, "gate": stage.test}[split]
        return tuple(
            example(
                convention.project,
                f"# {convention.prompt(t)}\n",
                convention.code(t),
                vocabulary,
                split,
            )
            for t in tasks
        )

    return BenchTask(convention.project, made("train"), made("dev"), made("gate"))


def repository_task(repository: Path, vocabulary: Tokenizer) -> BenchTask:
    """The newest functions of a git repository, in commit order; every third is kept aside.

    Raises NotFound if there are too few.
    """
    need = REPOSITORY_TRAIN + REPOSITORY_DEV + REPOSITORY_TEST
    functions = [one.function for one in repository_functions(repository)][-need:]
    if len(functions) < need:
        raise NotFound(
            f"{repository} has {len(functions)} usable functions; the benchmark takes {need}.",
            "Give a larger Python repository.",
        )
    aside = functions[1::3][:REPOSITORY_TEST]
    kept = [f for f in functions if f not in aside]
    dev = kept[:: len(kept) // REPOSITORY_DEV][:REPOSITORY_DEV]
    name = repository.resolve().name

    def made(split: Split, chosen: Iterable[DemoFunction]) -> tuple[Example, ...]:
        return tuple(example(name, _question(f), written(f), vocabulary, split) for f in chosen)

    return BenchTask(
        name,
        made("train", (f for f in kept if f not in dev)),
        made("dev", dev),
        made("gate", aside),
    )


def _question(function: DemoFunction) -> str:
    purpose = f"# {function.summary}\n" if function.summary else ""
    owner = f", class {function.class_name}" if function.class_name else ""
    return f"# File {function.file}{owner}\n{purpose}"


def example(project: str, prompt: str, code: str, vocabulary: Tokenizer, split: Split) -> Example:
    """A raw completion and the code that was kept, with the model's own end token.

    Raises QiError if the vocabulary cannot write the code.
    """
    ids = target_tokens(code, vocabulary)
    if ids is None:
        raise QiError(
            f"The base's vocabulary cannot write the code of {project} exactly.",
            "Take another base model.",
        )
    return Example(
        id=f"{project}:{content_hash(prompt, code)[:16]}",
        hash=content_hash(prompt, code),
        prompt=prompt,
        target=code,
        prompt_ids=tuple(vocabulary.prompt_ids(prompt)),
        target_ids=(*ids, vocabulary.eos),
        code_mask=(*(True for _ in ids), False),
        person_mask=(*(True for _ in ids), False),
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


def probes(vocabulary: Tokenizer) -> tuple[Example, ...]:
    """Generic code that is only measured with."""
    return generic_examples(reference_code.probes(), vocabulary)


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
