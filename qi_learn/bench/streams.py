"""The streams of tasks, by name and seed, and the base's own answers, of which one is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.bench.answers import greedy_answers
from qi_learn.bench.conditional import conditional_conventions
from qi_learn.bench.conventions import Convention, conventions, stage, stream
from qi_learn.bench.edits import MOST_TOKENS, is_finished
from qi_learn.bench.tasks import (
    BenchTask,
    conditional_task,
    convention_task,
    edited_task,
    repository_task,
)
from qi_learn.dataset.examples import Tokenizer
from qi_learn.errors import NotFound

CONVENTIONS, CONDITIONAL, EDITS, REPOSITORIES = (
    "conventions",
    "conditional",
    "edits",
    "repositories",
)
STREAMS = (CONVENTIONS, CONDITIONAL, EDITS)
"""Those that are made by a seed."""
FEWER = 2
"""A conditional stream and one of edits have one task where the conventions have so many."""
LEAST_EDITED = 3
"""Answers of the base that can be edited, to train on."""


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """How much of each stream is used."""

    tasks: int
    """Conventions of a stream."""
    train: int | None = None
    """Examples of each task to train on, and, as `tests`, to measure with; None: all."""
    tests: int | None = None


class OwnAnswers:
    """The base's greedy answers to raw prompts, kept in a file of JSON lines if one is given."""

    def __init__(self, base: Path, file: Path | None) -> None:
        self._base, self._file = base, file
        self._known: dict[str, str] = {}
        if file is not None and file.exists():
            self._known = dict(_pairs(file))

    def answers(
        self, prompts: Sequence[str], tokens_of: Callable[[str], Sequence[int]]
    ) -> list[str]:
        """The answer to each prompt. Raises ModelError if the base cannot be used."""
        missing = [prompt for prompt in prompts if prompt not in self._known]
        made = greedy_answers(
            self._base,
            [tokens_of(prompt) for prompt in missing],
            limit=MOST_TOKENS,
            finished=is_finished,
        )
        self._keep(dict(zip(missing, made, strict=True)))
        return [self._known[prompt] for prompt in prompts]

    def _keep(self, made: dict[str, str]) -> None:
        self._known |= made
        if self._file is not None and made:
            with self._file.open("a", encoding="utf-8") as out:
                out.write("".join(json.dumps(pair) + "\n" for pair in made.items()))


def _pairs(file: Path) -> list[tuple[str, str]]:
    pairs = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        try:
            prompt, answer = json.loads(line)
        except ValueError:
            continue  # the empty end, or a line that a crash cut off
        pairs.append((prompt, answer))
    return pairs


class Streams:
    """Every stream's tasks, whole."""

    def __init__(
        self,
        vocabulary: Tokenizer,
        sizes: StreamSizes,
        own: OwnAnswers,
        repositories: Sequence[Path] = (),
    ) -> None:
        self._vocabulary, self._sizes, self._own = vocabulary, sizes, own
        self._repositories = tuple(repositories)

    def tasks(self, name: str, seed: int, *, count: int | None = None) -> tuple[BenchTask, ...]:
        """The tasks of a stream, `count` of them if that is given.

        Raises NotFound if there is no such stream, or if a repository or the base's own answers
        give too little.
        """
        count = count or self._sizes.tasks
        if name == CONVENTIONS:
            tasks = [convention_task(one, self._vocabulary) for one in stream(seed, count)]
        elif name == CONDITIONAL:
            tasks = [
                conditional_task(one, stage(seed, one.usual), self._vocabulary)
                for one in conditional_conventions(seed, _fewer(count))
            ]
        elif name == EDITS:
            tasks = [self._edited(seed, one) for one in conventions(seed, _fewer(count))]
        elif name == REPOSITORIES:
            tasks = [repository_task(path, self._vocabulary) for path in self._repositories]
        else:
            raise NotFound(f"There is no stream `{name}`.", f"There are: {', '.join(STREAMS)}.")
        return tuple(map(self.shortened, tasks))

    def shortened(self, task: BenchTask) -> BenchTask:
        """As much of a task as this run uses."""
        train, tests = self._sizes.train, self._sizes.tests
        return task if train is None or tests is None else task.shortened(train, tests)

    def _edited(self, seed: int, convention: Convention) -> BenchTask:
        """As many functions more as the base may have no usable answer to."""
        first = stage(seed, convention)
        more = stage(seed + 700, convention, without=(*first.train, *first.dev, *first.test))
        used = replace(
            first,
            train=(*first.train, *more.train)[: self._sizes.train],
            dev=first.dev[: self._sizes.tests],
            test=first.test[: self._sizes.tests],
        )
        made = edited_task(
            used,
            self._vocabulary,
            lambda prompts: self._own.answers(prompts, self._vocabulary.prompt_ids),
        )
        if len(made.train) < LEAST_EDITED or not (made.dev and made.test):
            raise NotFound(
                "The base's own answers are too seldom functions to be edited.",
                "Leave out the stream `edits`, or take another base model.",
            )
        return made


def _fewer(count: int) -> int:
    return max(min(count, FEWER), count // FEWER)
