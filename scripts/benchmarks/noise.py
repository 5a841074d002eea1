"""How unequally a trained update does on single texts: what the gate's power rests on.

Updates are trained by the product's own recipe on the embedded model, from a few examples of one
task, packed as a version is, and read by the gate's own reader: NLL of the person's tokens of
held-out examples under candidate and base, each at its own temperature. An update is tried

    on its own task    where it helps; smaller shares of it help less
    on other tasks     of which it learned nothing: what is left is noise

What comes of it, by how much an update helps: the standard deviation of an example's fall, how it
depends on the example's tokens (a + b / tokens), its skewness, and how much examples of one task or
file have in common. Finished updates are kept under `--cache`, so a run goes on where an earlier
one stopped. An update takes some three minutes of one core. Progress goes to stderr, and the last
line is one JSON object.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from qi_learn import codec
from qi_learn.bench.cells import Cell, FinishedCells, code_version
from qi_learn.bench.learner import Learner, Trunk
from qi_learn.bench.methods import Method
from qi_learn.bench.streams import REPOSITORIES, STREAMS, OwnAnswers, Streams, StreamSizes
from qi_learn.bench.tasks import BenchTask, anchors, yardsticks
from qi_learn.gate.reading import FileReader
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.pack.splice import pack
from qi_learn.records import Example, SuiteNll
from qi_learn.rundir.adapter_file import Adapter, read_adapter, write_adapter
from qi_learn.train.__main__ import ENVIRONMENT
from scripts.benchmarks.differences import embedded_base, say
from scripts.benchmarks.gating.update_noise import SCALES, Tried, UpdateFigures, report

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
        given.out.write_text(json.dumps(_data(base, figures), indent=1) + "\n", encoding="utf-8")
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
        self._base, self._given, self._work = base, given, work
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
        adapter, steps = self._trained(cell, learned.few(shots))
        others = [
            one for own in tasks.values() for one in own if _project(one) != _project(learned)
        ]
        say(f"{cell}: trained in {time.monotonic() - began:.0f} s")
        found = [
            tried
            for scale in SCALES
            for tried in self._try(adapter, scale, learned, others if scale == 1 else ())
        ]
        figures = UpdateFigures(tuple(found), steps, round(time.monotonic() - began, 1))
        self._finished.put(cell, figures)
        say(f"{cell}: {figures.seconds:.0f} s; " + ", ".join(map(_in_short, found)))
        return figures

    def _trained(self, cell: Cell, task: BenchTask) -> tuple[Adapter, int]:
        name = f"{cell.stream}-{cell.seed}-{cell.shots}-{cell.method.replace(' ', '-')}"
        file = self._given.cache / f"{name}-{self._code}.safetensors"
        if file.exists() and self._given.steps is None:
            return read_adapter(file), 0
        learner = Learner(self._trunk, FIRST, cell.seed, self._given.steps)
        learner.learn(task)
        assert learner.served is not None
        write_adapter(learner.served, file)
        return learner.served, learner.history[-1][0].steps.max_steps

    def _try(
        self, adapter: Adapter, scale: float, learned: BenchTask, others: Sequence[BenchTask]
    ) -> Iterator[Tried]:
        file = self._work / "packed.gguf"
        pack(self._base, adapter, file, scale=scale)
        with (
            self._reader(file, None) as candidate,
            self._reader(self._base, self._given.cache / "nll") as base,
        ):
            for task in (learned, *others):
                tests = task.test[: self._given.tests]
                after, before = (
                    reader.nll("gate", tests, reader.temperature(task.dev))
                    for reader in (candidate, base)
                )
                yield _tried(task, tests, after, before, own=task is learned, scale=scale)

    def _reader(self, file: Path, cache: Path | None) -> FileReader:
        return FileReader(file, context=CONTEXT, threads=self._given.threads, cache=cache)


def _tried(
    task: BenchTask,
    tests: Sequence[Example],
    after: SuiteNll,
    before: SuiteNll,
    *,
    own: bool,
    scale: float,
) -> Tried:
    return Tried(
        task.name,
        own,
        scale,
        (after.temperature, before.temperature),
        tuple(_unit(task, one) for one in tests),
        before.person_tokens,
        tuple(
            round((b - a) / n, 5)
            for a, b, n in zip(
                after.person_nll, before.person_nll, before.person_tokens, strict=True
            )
        ),
    )


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
    middle = sum(tried.falls) / len(tried.falls)
    spread = (sum((d - middle) ** 2 for d in tried.falls) / len(tried.falls)) ** 0.5
    return f"{'own' if tried.own else 'other'} x{tried.scale:g} {middle:+.3f} ({spread:.3f})"


if __name__ == "__main__":
    main()
