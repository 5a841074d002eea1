"""What is measured of one cell: a method on its way through a stream, and its packed file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.bench import metrics
from qi_learn.bench.cells import Cell, FinishedCells
from qi_learn.bench.conventions import DEV, TRAIN, changed, conventions, stage
from qi_learn.bench.everything_else import (
    ElseFigures,
    EverythingElse,
    drift,
    end_drift,
    measure_everything_else,
)
from qi_learn.bench.figures import InContext, MethodFigures, Report, Unlearning
from qi_learn.bench.learner import Learner, Trunk, score
from qi_learn.bench.methods import DEFAULT, Method
from qi_learn.bench.packed_file import (
    CONTEXT,
    FileFigures,
    TaskMeasurement,
    measure_in_context,
    measure_tasks,
)
from qi_learn.bench.streams import CONVENTIONS, Streams
from qi_learn.bench.tasks import BenchTask, convention_task, disjoint
from qi_learn.gate.measurements import Likelihoods
from qi_learn.gate.reading import suite_of
from qi_learn.gate.verdict import likelihood_checks
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.llama_cpp_nll import Scorer
from qi_learn.pack.splice import pack
from qi_learn.records import Check, Divergence, SuiteNll
from qi_learn.stats import mean

Say = Callable[[str], None]
BASE = "base"
"""The method that trains nothing."""
LONG, LONG_NAME = 20, "default, long"
"""Updates of the long stream, and what its cell's method is called."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """A learner's version as it would be served: its numbers, and its smallest gain."""

    tasks: TaskMeasurement
    everything_else: ElseFigures | None
    gain: float


@dataclass
class CellFigures:
    """Measures cells. What several of them share is made once."""

    trunk: Trunk
    streams: Streams
    measured_with: EverythingElse
    vocabulary: Vocabulary
    work: Path
    methods: Mapping[str, Method]
    steps: int | None
    """Optimiser steps of a stage; None: as the plan derives them."""
    always_changes: bool
    """Whether a convention changes afterwards however few examples there were."""
    finished: FinishedCells
    report: Report
    say: Say
    _tasks: tuple[tuple[str, int], tuple[BenchTask, ...]] | None = field(default=None, init=False)
    _references: dict[tuple[str, int], InContext] = field(default_factory=dict, init=False)

    def of(self, cell: Cell) -> MethodFigures:
        """The figures of one cell.

        Raises NotFound if the stream cannot be made, QiError if something cannot be measured.
        """
        began = time.monotonic()
        if cell.method == LONG_NAME:
            figures = self._long(cell)
        else:
            figures = self._method(cell, self.methods[cell.method])
        return replace(figures, cell_seconds=round(time.monotonic() - began, 1))

    def reference(self, stream: str, seed: int) -> InContext:
        """What needs no training, measured once; into the report too."""
        if (known := self._references.get((stream, seed))) is not None:
            return known
        cell = Cell(stream, BASE, seed, 0)
        found = self.finished.get(cell, InContext)
        if found is None:
            found = self._measure_reference(stream, seed)
            self.finished.put(cell, found)
        self._references[stream, seed] = found
        self.report.references.append(found)
        self.say(
            f"{stream}, seed {seed}: NLL {mean(found.base.nll):.3f} at the base, "
            f"{mean(found.in_context.nll):.3f} in context"
        )
        return found

    def _measure_reference(self, stream: str, seed: int) -> InContext:
        tasks = self._stream(stream, seed)
        with Scorer(self.trunk.gguf, context=CONTEXT) as scorer:
            base = measure_tasks(scorer, tasks)
            in_context = measure_in_context(scorer, tasks, self.vocabulary)
        return InContext(stream, seed, base.served, in_context, base.fresh)

    @property
    def at_base(self) -> ElseFigures:
        """The base on everything else, measured once; into the report too."""
        if self.report.at_base is None:
            cell = Cell("everything else", BASE, 0, 0)
            found = self.finished.get(cell, ElseFigures)
            if found is None:
                with Scorer(self.trunk.gguf, context=CONTEXT) as scorer:
                    found = measure_everything_else(self.trunk.gguf, scorer, self.measured_with)
                self.finished.put(cell, found)
            self.report.at_base = found
        return self.report.at_base

    def _stream(self, name: str, seed: int) -> tuple[BenchTask, ...]:
        """The tasks of a stream; what was computed for another one is forgotten."""
        if self._tasks is None or self._tasks[0] != (name, seed):
            tasks = self.streams.tasks(name, seed)
            self._disjoint(tasks)
            self.trunk.states.clear()
            self._tasks = ((name, seed), tasks)
        return self._tasks[1]

    def _disjoint(self, tasks: Sequence[BenchTask]) -> None:
        measured = [e for suite in self.measured_with.suites.values() for e in suite]
        disjoint(tasks, measured, self.trunk.anchors)

    def _method(self, cell: Cell, method: Method) -> MethodFigures:
        reference = self.reference(cell.stream, cell.seed)
        tasks, at_base = self._stream(cell.stream, cell.seed), self.at_base
        few = [task.few(cell.shots) for task in tasks]
        learner = Learner(self.trunk, method, cell.seed, self.steps)
        stages: Sequence[BenchTask] = [_together(few)] if method.joint else few
        steps = sum(map(learner.steps_for, few)) if method.joint else None
        rows = [
            score(learner.learn(task, steps=steps), tasks, say=lambda text: self.say(f"  {text}"))
            for task in stages
        ]
        if method.joint:
            rows = [rows[-1]] * len(tasks)  # there is no order in which it could have forgotten
        packed = self._measure(learner, tasks)
        figures = _figures(cell, learner, tasks, rows, packed, reference.base, at_base)
        checks = _checks(packed, reference.fresh, at_base)
        return replace(figures, gate=checks, unlearning=self._unlearning(cell, learner))

    def _unlearning(self, cell: Cell, learner: Learner) -> Unlearning | None:
        enough = self.always_changes or cell.shots >= TRAIN + DEV
        if learner.method is not DEFAULT or cell.stream != CONVENTIONS or not enough:
            return None
        return self._unlearn(learner, cell.seed)

    def _long(self, cell: Cell) -> MethodFigures:
        """Make twenty updates by the product's recipe, each packed as it would be served.

        Each task is scored on the packed file right after its own update.
        """
        tasks = self.streams.tasks(cell.stream, cell.seed, count=LONG)
        self._disjoint(tasks)
        at_base = self.at_base
        with Scorer(self.trunk.gguf, context=CONTEXT) as scorer:
            base = measure_tasks(scorer, tasks).served
        learner = Learner(self.trunk, DEFAULT, cell.seed, self.steps)
        rows: list[list[float]] = []
        for number, task in enumerate(tasks):
            learner.learn(task)
            served = self._measure(learner, (task,), alone=True).tasks.served
            rows.append([math.nan] * len(tasks))
            rows[-1][number] = served.accuracy[0]
            self.say(
                f"  update {number + 1}: {served.accuracy[0]:.3f}, rank lost {learner.lost:.3f}"
            )
        packed = self._measure(learner, tasks)
        return _figures(cell, learner, tasks, rows, packed, base, at_base)

    def _measure(
        self, learner: Learner, tasks: Sequence[BenchTask], *, alone: bool = False
    ) -> _Packed:
        """The learner's version, packed. `alone`: nothing but the tasks."""
        with (
            self._packed(learner) as (file, gain),
            Scorer(file, context=CONTEXT) as scorer,
        ):
            measured = measure_tasks(scorer, tasks)
            others = None if alone else measure_everything_else(file, scorer, self.measured_with)
            return _Packed(measured, others, gain)

    @contextmanager
    def _packed(self, learner: Learner) -> Iterator[tuple[Path, float]]:
        """The file that would be served, and the smallest share of a change that survived."""
        if learner.served is None:
            yield self.trunk.gguf, 1.0
            return
        packed = pack(self.trunk.gguf, learner.served, self.work / "packed.gguf")
        try:
            yield Path(packed.path), min(g.gain for g in packed.gains)
        finally:
            Path(packed.path).unlink()

    def _unlearn(self, learner: Learner, seed: int) -> Unlearning:
        """Teach a changed style of the first project: only the old way should go."""
        made = conventions(seed, len(self._stream(CONVENTIONS, seed)) + 1)
        first = stage(seed, made[0])
        asked = (*first.train, *first.dev, *first.test)
        ways = (changed(made[0], made[-1]), made[0])  # of writing the same functions
        new, old = (
            self.streams.shortened(
                convention_task(stage(seed + 500, way, without=asked), self.vocabulary)
            )
            for way in ways
        )
        self._disjoint(
            (convention_task(first, self.vocabulary), new, replace(old, train=(), dev=()))
        )
        before = self._measure(learner, (new, old), alone=True).tasks.served
        learner.learn(new)
        now = self._measure(learner, (new, old), alone=True).tasks.served
        return Unlearning(
            project=made[0].project,
            chooses_new_before=_chooses_first(before),
            chooses_new_after=_chooses_first(now),
            new_before=before.accuracy[0],
            new_after=now.accuracy[0],
            old_before=before.accuracy[1],
            old_after=now.accuracy[1],
        )


def _figures(
    cell: Cell,
    learner: Learner,
    tasks: Sequence[BenchTask],
    rows: Sequence[Sequence[float]],
    packed: _Packed,
    base: FileFigures,
    at_base: ElseFigures,
) -> MethodFigures:
    served, others = packed.tasks.served, packed.everything_else or at_base
    matrix = (*(tuple(row) for row in rows[:-1]), served.accuracy)
    return MethodFigures(
        stream=cell.stream,
        method=cell.method,
        seed=cell.seed,
        shots=cell.shots,
        tasks=tuple(task.name for task in tasks),
        matrix=matrix,
        unpacked=tuple(rows[-1]),
        base=base.accuracy,
        acc=metrics.accuracy(matrix),
        learned=metrics.learned(matrix),
        bwt=metrics.backward_transfer(matrix),
        forgetting=metrics.forgetting(matrix),
        retention=metrics.retention(matrix, base.accuracy),
        nll=mean(served.nll),
        end=mean(served.end),
        conditional=mean(served.conditional),
        drift=drift(others, at_base),
        end_drift=end_drift(others, at_base),
        fences=others.fences,
        indentation=others.indentation,
        gain=packed.gain,
        rank_lost=learner.lost,
        strengths=tuple(
            (plan.penalties.lambda_general, plan.penalties.lambda_past)
            for plan, _ in learner.history
        ),
        steps=tuple(result.steps for _, result in learner.history),
        drifts=tuple(
            (_measured(result.divergence_general), _measured(result.divergence_past))
            for _, result in learner.history
        ),
        seconds=round(learner.seconds, 1),
    )


def _checks(packed: _Packed, fresh: SuiteNll, at_base: ElseFigures) -> tuple[Check, ...]:
    """The gate's rules on likelihoods: all of the stream as one update of the base."""
    others = packed.everything_else or at_base
    old = suite_of("old", (), ())
    base = Likelihoods(fresh, old, at_base.suites)
    return likelihood_checks(Likelihoods(packed.tasks.fresh, old, others.suites), base, base)


def _chooses_first(served: FileFigures) -> float:
    """Share of the texts of which the first of two ways of writing them is the likelier."""
    first, second = served.texts
    return sum(a < b for a, b in zip(first, second, strict=True)) / len(first)


def _together(tasks: Sequence[BenchTask]) -> BenchTask:
    return BenchTask(
        "joint",
        tuple(e for t in tasks for e in t.train),
        tuple(e for t in tasks for e in t.dev),
        (),
    )


def _measured(divergence: Divergence | None) -> float | None:
    return None if divergence is None else divergence.measured
