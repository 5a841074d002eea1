"""`qi-learn bench learning`: does it learn, and does it forget? Measured on the packed file.

A stream of tasks is learned one after another by several methods, each from the base, on several
seeds. Within a stream scores are taken before packing (the matrix R). After the last stage the
result is packed once, and that file's scores are R's last row: the end is reported of the file that
would be served, and the gate's rules on likelihoods are applied to it with the base live. Base and
in-context (two examples in the prompt) need no training and are always there, as what has to be
beaten.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.bench import metrics
from qi_learn.bench.conventions import changed, conventions, stage, stream
from qi_learn.bench.figures import InContext, MethodFigures, Report, Unlearning, line
from qi_learn.bench.learner import Learner, Trunk, score
from qi_learn.bench.methods import DEFAULT, Method
from qi_learn.bench.packed_file import (
    FileFigures,
    Measurement,
    measure,
    measure_adapter,
    measure_in_context,
)
from qi_learn.bench.tasks import (
    BenchTask,
    anchors,
    convention_task,
    disjoint,
    probes,
    repository_task,
    yardsticks,
)
from qi_learn.dataset.examples import Tokenizer
from qi_learn.errors import SettingsError
from qi_learn.gate.measurements import Likelihoods
from qi_learn.gate.verdict import likelihood_checks
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.records import Divergence, Example
from qi_learn.stats import mean

Say = Callable[[str], None]
LONG = 20
"""Updates of the long stream."""
QUICK_TASKS, QUICK_STEPS, QUICK_TRAIN, QUICK_TESTS, QUICK_PROBES = 2, 4, 8, 3, 6
QUICK_ANCHORS, QUICK_YARDSTICKS = 32, 2
"""Sizes of a run that only shows that everything works."""


@dataclass(frozen=True, slots=True)
class Request:
    """A run of the benchmark."""

    base: Path
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    tasks: int = 4
    steps: int | None = None
    """Optimiser steps of a stage; None: as the plan derives them."""
    repositories: tuple[Path, ...] = ()
    changes: bool = True
    long: int | None = None
    """The seed of a stream of 20 updates; None: not run."""
    cache: Path | None = None
    """Directory that keeps Fishers of the base between runs; None: they are not kept."""
    quick: bool = False
    """About a minute in all: a small part of the tests, steps and probes, whose figures mean
    little.
    """


def run(request: Request, report: Report, *, say: Say) -> None:
    """Run everything requested into `report`, as it is measured; `say` reports each step.

    Raises QiError if something cannot be measured.
    """
    if not request.seeds and request.long is None:
        raise SettingsError(
            "Without a seed and without `--long` there is nothing to run.",
            "Give `--seeds 1` or more, or `--long`.",
        )
    if request.long is not None and request.repositories:
        raise SettingsError(
            f"`--long` is {LONG} conventions, one update each; repositories are not as many.",
            "Leave out `--long` or `--repo`.",
        )
    began = time.monotonic()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="qi-bench-") as work,
            load_vocabulary(request.base) as vocabulary,
        ):
            bench = _Bench(request, Path(work), vocabulary, say)
            for seed in request.seeds:
                bench.seed(seed, report)
            if request.long is not None:
                report.long.append(bench.long(request.long))
    finally:
        report.seconds = time.monotonic() - began


class _Bench:
    """The parts that all methods and seeds share."""

    def __init__(self, request: Request, work: Path, vocabulary: Tokenizer, say: Say) -> None:
        self._request = request
        self._work = work
        self._vocabulary = vocabulary
        self._say = say
        quick = request.quick
        self._probes = probes(vocabulary)[: QUICK_PROBES if quick else None]
        shipped = anchors(vocabulary)[: QUICK_ANCHORS if quick else None]
        measured_on = yardsticks(vocabulary)[: QUICK_YARDSTICKS if quick else None]
        cache = request.cache or work
        cache.mkdir(parents=True, exist_ok=True)
        self._trunk = Trunk(request.base, sha256_of(request.base), shipped, measured_on, cache)
        probes_at_base = measure(request.base, (), self._probes).likelihoods.general
        self._general_at_base = probes_at_base["python_stdlib"]
        self._steps = request.steps or (QUICK_STEPS if request.quick else None)

    def seed(self, seed: int, report: Report) -> None:
        """Run all methods on one seed's stream."""
        tasks = self._tasks(seed, QUICK_TASKS if self._request.quick else self._request.tasks)
        at_base, general = measure(self._request.base, tasks, ()), self._general_at_base
        base, likelihoods = at_base.served, replace(at_base.likelihoods, general=general)
        in_context = measure_in_context(self._request.base, tasks, self._vocabulary)
        reference = InContext(seed, replace(base, general=general.per_token), in_context)
        report.references.append(reference)
        self._say(
            f"seed {seed}: NLL {mean(base.nll):.3f} at the base, "
            f"{mean(reference.in_context.nll):.3f} in context"
        )
        for method in self._request.methods:
            learner, outcome = self._method(method, seed, tasks, base.accuracy, likelihoods)
            report.outcomes.append(outcome)
            self._say(line(outcome))
            if self._request.changes and method is DEFAULT and not self._request.repositories:
                report.unlearning.append(self._unlearn(learner, seed))
                self._say(f"  {report.unlearning[-1]}")

    def _tasks(self, seed: int, count: int) -> tuple[BenchTask, ...]:
        if self._request.repositories:
            tasks = tuple(
                repository_task(path, self._vocabulary) for path in self._request.repositories
            )
        else:
            tasks = tuple(convention_task(s, self._vocabulary) for s in stream(seed, count))
        disjoint(tasks, self._probes, self._trunk.anchors)
        return tuple(map(self._shortened, tasks))

    def _shortened(self, task: BenchTask) -> BenchTask:
        if not self._request.quick:
            return task
        return replace(
            task,
            train=task.train[:QUICK_TRAIN],
            dev=task.dev[:QUICK_TESTS],
            test=task.test[:QUICK_TESTS],
        )

    def _method(
        self,
        method: Method,
        seed: int,
        tasks: Sequence[BenchTask],
        base: Sequence[float],
        at_base: Likelihoods,
    ) -> tuple[Learner, MethodFigures]:
        self._say(f"seed {seed}, {method.name}: {method.about}")
        learner = Learner(self._trunk, method, seed, self._steps)
        stages: Sequence[BenchTask] = [_together(tasks)] if method.joint else tasks
        steps = sum(map(learner.steps_for, tasks)) if method.joint else None
        rows = [
            score(learner.learn(task, steps=steps), tasks, say=lambda text: self._say(f"  {text}"))
            for task in stages
        ]
        packed, gain = self._measure(learner, tasks, self._probes)
        if method.joint:
            rows = [rows[-1]] * len(tasks)  # there is no order in which it could have forgotten
        outcome = self._outcome(learner, tasks, rows, packed.served, gain, base)
        checks = likelihood_checks(packed.likelihoods, at_base, at_base)
        return learner, replace(outcome, gate=checks)

    def long(self, seed: int) -> MethodFigures:
        """Make twenty updates by the product's recipe, each packed as it would be served.

        Each task is scored on the packed file right after its own update.
        """
        tasks = self._tasks(seed, LONG)
        base = measure(self._request.base, tasks, ()).served.accuracy
        learner = Learner(self._trunk, DEFAULT, seed, self._steps)
        rows: list[list[float]] = []
        for number, task in enumerate(tasks):
            learner.learn(task)
            served = self._measure(learner, (task,), self._probes)[0].served
            rows.append([math.nan] * len(tasks))
            rows[-1][number] = served.accuracy[0]
            rise = served.general - self._general_at_base.per_token
            self._say(
                f"  update {number + 1}: {served.accuracy[0]:.3f}, general {rise:+.4f}, rank lost "
                f"{learner.lost:.3f}"
            )
        packed, gain = self._measure(learner, tasks, self._probes)
        outcome = self._outcome(learner, tasks, rows, packed.served, gain, base)
        self._say(line(outcome))
        return replace(outcome, method="default, long")

    def _measure(
        self, learner: Learner, tasks: Sequence[BenchTask], general: Sequence[Example]
    ) -> tuple[Measurement, float]:
        """The learner's version, packed: its numbers and its smallest gain."""
        return measure_adapter(self._request.base, learner.served, tasks, general, self._work)

    def _outcome(
        self,
        learner: Learner,
        tasks: Sequence[BenchTask],
        rows: Sequence[Sequence[float]],
        served: FileFigures,
        gain: float,
        base: Sequence[float],
    ) -> MethodFigures:
        matrix = (*(tuple(row) for row in rows[:-1]), served.accuracy)
        return MethodFigures(
            method=learner.method.name,
            seed=learner.seed,
            tasks=tuple(task.name for task in tasks),
            matrix=matrix,
            unpacked=tuple(rows[-1]),
            base=tuple(base),
            acc=metrics.accuracy(matrix),
            learned=metrics.learned(matrix),
            bwt=metrics.backward_transfer(matrix),
            forgetting=metrics.forgetting(matrix),
            retention=metrics.retention(matrix, base),
            nll=mean(served.nll),
            general_rise=served.general - self._general_at_base.per_token,
            gain=gain,
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

    def _unlearn(self, learner: Learner, seed: int) -> Unlearning:
        """Teach a changed style of the first project: only the old way should go."""
        made = conventions(seed, self._request.tasks + 1)
        first = stage(seed, made[0])
        asked = (*first.train, *first.dev, *first.test)
        ways = (changed(made[0], made[-1]), made[0])  # of writing the same functions
        new, old = (
            self._shortened(
                convention_task(stage(seed + 500, way, without=asked), self._vocabulary)
            )
            for way in ways
        )
        disjoint(
            (convention_task(first, self._vocabulary), new, replace(old, train=(), dev=())),
            self._probes,
            self._trunk.anchors,
        )
        before = self._measure(learner, (new, old), ())[0].served
        learner.learn(new)
        now = self._measure(learner, (new, old), ())[0].served
        return Unlearning(
            seed=seed,
            project=made[0].project,
            chooses_new_before=_chooses_first(before),
            chooses_new_after=_chooses_first(now),
            new_before=before.accuracy[0],
            new_after=now.accuracy[0],
            old_before=before.accuracy[1],
            old_after=now.accuracy[1],
        )


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
