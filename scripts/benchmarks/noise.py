"""How unequally a trained update does on single texts: what the gate's power rests on.

Updates are trained by the product's own recipe on the embedded model, from a few examples of one
task, packed as a version is, and read as the gate reads: NLL of the person's tokens of held-out
examples under candidate and base, each at its own temperature (fitted on the task's dev alone,
without the ordinary code that the gate adds). An update is tried

    on its own task    where it helps
    on other tasks     of which it learned nothing: what is left is noise; but what was learned from
                       one real repository helps a little on another

and so is a quarter of it, which does less.

What comes of it: the standard deviation of an example's fall, of whole texts and of spans of 3
tokens up; how it depends on the tokens (a + b / tokens); its skewness; and how much examples of one
task or file have in common. Finished updates are kept under `--cache`, so a run goes on where an
earlier one stopped. An update takes some five minutes of one core. Progress goes to stderr, and the
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from qi_learn import codec
from qi_learn.bench.cells import Cell, FinishedCells, code_version
from qi_learn.bench.learner import Learner, Trunk
from qi_learn.bench.methods import Method
from qi_learn.bench.packed_file import text_of, token_nll
from qi_learn.bench.streams import REPOSITORIES, STREAMS, OwnAnswers, Streams, StreamSizes
from qi_learn.bench.tasks import BenchTask, anchors, yardsticks
from qi_learn.gate.temperature import TemperatureFit
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.llama_cpp_nll import Scorer
from qi_learn.pack.splice import pack
from qi_learn.records import Example
from qi_learn.rundir.adapter_file import Adapter, read_adapter, write_adapter
from qi_learn.train.__main__ import ENVIRONMENT
from scripts.benchmarks.differences import embedded_base, say
from scripts.benchmarks.gating.update_noise import SCALES, Read, Tried, UpdateFigures, report

CONTEXT = 2048
FIRST = Method(
    "first", "the product's recipe, in a first cycle: no past is kept", changes={"lambda_past": 0.0}
)


def main() -> None:
    given = options()
    os.environ.update(ENVIRONMENT)  # read by torch when it is imported, which is not yet
    given.cache.mkdir(parents=True, exist_ok=True)
    base = given.base or embedded_base()
    with (
        tempfile.TemporaryDirectory(prefix="qi-noise-") as work,
        load_vocabulary(base) as vocabulary,
    ):
        figures = list(Bench(base, vocabulary, given, Path(work)).run())
    if given.out is not None:
        given.out.write_text(json.dumps(_data(base, figures)) + "\n", encoding="utf-8")
    print(json.dumps(report(figures)))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the noise of trained updates.")
    parser.add_argument("--cache", type=Path, required=True, help="keeps what is finished")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="such as 0,1,2")
    parser.add_argument("--shots", type=_numbers, default=(8,), help="examples, such as 4,8")
    parser.add_argument("--stream", action="append", choices=(*STREAMS, REPOSITORIES), default=[])
    parser.add_argument("--repo", type=Path, action="append", default=[], help="a git repository")
    parser.add_argument("--tests", type=int, help="held-out examples of a task; all by default")
    parser.add_argument("--steps", type=int, help="of the optimiser; as the plan derives them")
    parser.add_argument("--base", type=Path, help="a GGUF file; the embedded one by default")
    parser.add_argument("--out", type=Path, help="file for every example's fall")
    parser.add_argument("--threads", type=int, help="of llama.cpp")
    given = parser.parse_args()
    given.stream = given.stream or [*STREAMS, *([REPOSITORIES] if given.repo else [])]
    return given


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


class Bench:
    """Trains updates, and tries them."""

    def __init__(
        self, base: Path, vocabulary: Vocabulary, given: argparse.Namespace, work: Path
    ) -> None:
        self._base, self._given, self._work, self._seed = base, given, work, 0
        digest = sha256_of(base)
        self._trunk = Trunk(base, digest, anchors(vocabulary), yardsticks(vocabulary), given.cache)
        own = OwnAnswers(base, given.cache / f"own-answers-{digest[:12]}.jsonl")
        self._streams = Streams(vocabulary, StreamSizes(2), own, given.repo)
        self._code = code_version()
        self._finished = FinishedCells(
            given.cache / "updates.jsonl",
            {
                "base": digest,
                "code": self._code,
                "tests": given.tests,
                "steps": given.steps,
                "scales": SCALES,
                "repositories": [path.resolve().name for path in given.repo],
            },
        )

    def run(self) -> Iterator[UpdateFigures]:
        """Every update: seed by seed, so that what is there early is of all streams."""
        for seed in self._given.seeds:
            tasks = {name: self._tasks(name, seed) for name in self._given.stream}
            for stream in self._given.stream:
                for shots in self._given.shots:
                    for number in range(len(tasks[stream]) if stream == REPOSITORIES else 1):
                        yield self._update(stream, number, seed, shots, tasks)

    def _tasks(self, stream: str, seed: int) -> tuple[BenchTask, ...]:
        made = self._streams.tasks(stream, seed, count=2)
        return tuple(replace(task, name=f"{stream} {task.name}") for task in made)

    def _update(
        self,
        stream: str,
        number: int,
        seed: int,
        shots: int,
        tasks: dict[str, tuple[BenchTask, ...]],
    ) -> UpdateFigures:
        cell = Cell(stream, f"task {number}", seed, shots)
        if (known := self._finished.get(cell, UpdateFigures)) is not None:
            return known
        began = time.monotonic()
        learned = tasks[stream][number]
        self._seed = seed
        adapter = self._trained(cell, learned.few(shots))
        others = [
            one for own in tasks.values() for one in own if _project(one) != _project(learned)
        ]
        say(f"{cell}: trained in {time.monotonic() - began:.0f} s")
        found = [tried for scale in SCALES for tried in self._try(adapter, scale, learned, others)]
        figures = UpdateFigures(tuple(found), round(time.monotonic() - began, 1))
        self._finished.put(cell, figures)
        say(f"{cell}: {figures.seconds:.0f} s; " + ", ".join(map(_in_short, found)))
        return figures

    def _trained(self, cell: Cell, task: BenchTask) -> Adapter:
        name = f"{cell.stream}-{cell.seed}-{cell.shots}-{cell.method.replace(' ', '-')}"
        file = self._given.cache / f"{name}-{self._code}.safetensors"
        if file.exists() and self._given.steps is None:
            return read_adapter(file)
        learner = Learner(self._trunk, FIRST, cell.seed, self._given.steps)
        learner.learn(task)
        assert learner.served is not None
        write_adapter(learner.served, file)
        return learner.served

    def _try(
        self, adapter: Adapter, scale: float, learned: BenchTask, others: Sequence[BenchTask]
    ) -> Iterator[Tried]:
        file = self._work / "packed.gguf"
        pack(self._base, adapter, file, scale=scale)
        tasks = (learned, *others)
        with Scorer(file, context=CONTEXT, threads=self._given.threads) as scorer:
            after = [self._read(scorer, task) for task in tasks]
        for task, read in zip(tasks, after, strict=True):
            yield _tried(task, read, self._at_base(task), own=task is learned, scale=scale)

    def _at_base(self, task: BenchTask) -> Read:
        """The base on a task, read once."""
        cell = Cell(task.name, "base", self._seed, 0)
        if (known := self._finished.get(cell, Read)) is not None:
            return known
        with Scorer(self._base, context=CONTEXT, threads=self._given.threads) as scorer:
            read = self._read(scorer, task)
        self._finished.put(cell, read)
        return read

    def _read(self, scorer: Scorer, task: BenchTask) -> Read:
        """NLL of each of the person's tokens, at the temperature fitted on the task's dev."""
        fit = TemperatureFit()
        for _ in scorer.score_each(list(map(text_of, task.dev)), each=fit.take):
            pass
        temperature = fit.temperature()
        tokens: list[float] = []

        def take(logits: NDArray[np.float32], token: int, is_persons: bool) -> None:
            if is_persons:
                tokens.append(round(token_nll(logits / np.float32(temperature), token), 4))

        found: dict[int, tuple[float, ...]] = {}
        tests = task.test[: self._given.tests]
        for index, _ in scorer.score_each(list(map(text_of, tests)), each=take):
            found[index] = tuple(tokens)
            tokens.clear()
        return Read(temperature, tuple(found[index] for index in range(len(tests))))


def _tried(task: BenchTask, after: Read, before: Read, *, own: bool, scale: float) -> Tried:
    falls = tuple(
        tuple(round(b - a, 2) for a, b in zip(new, old, strict=True))
        for new, old in zip(after.nll, before.nll, strict=True)
    )
    units = tuple(_unit(task, one) for one in task.test[: len(falls)])
    return Tried(task.name, own, scale, (after.temperature, before.temperature), units, falls)


def _project(task: BenchTask) -> str:
    """Streams of one seed have projects, and so styles, in common."""
    return task.test[0].project


def _data(base: Path, figures: Sequence[UpdateFigures]) -> dict[str, Any]:
    how = (
        f"embedded base {sha256_of(base)[:12]}, NLL of the person's tokens under the base minus "
        "under an update by the product's recipe, each at its own temperature, nats a token"
    )
    sets = [codec.plain(one) for update in figures for one in update.tried]
    return {"made": time.strftime("%Y-%m-%d"), "how": how, "sets": sets}


def _unit(task: BenchTask, example: Example) -> str:
    """The session of an example: of a repository's function its file."""
    found = re.match(r"# File (\S+?),?\s", example.prompt)
    return f"{task.name} {found[1]}" if found else task.name


def _in_short(tried: Tried) -> str:
    falls = tried.whole
    where = "own" if tried.own else "other"
    return f"{where} x{tried.scale:g} {falls.mean:+.3f} ({falls.deviation:.3f})"


if __name__ == "__main__":
    main()
