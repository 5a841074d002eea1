"""`qi-learn bench learning`: does it learn, and does it forget? Measured on the packed file.

A stream of tasks is learned one after another by several methods, each from the base, with so many
examples of each task, on several seeds: each of these is a cell. Within a stream scores are taken
before packing (the matrix R). After the last stage the result is packed once, and that file's
scores are R's last row: the end is reported of the file that would be served, and the gate's rules
on likelihoods are applied to it with the base live. Base and in-context (two examples in the
prompt) need no training and are always there, as what has to be beaten.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.bench.cell_figures import LONG, LONG_NAME, CellFigures
from qi_learn.bench.cells import WHOLE, Cell, FinishedCells, Slice, code_version
from qi_learn.bench.everything_else import everything_else
from qi_learn.bench.figures import MethodFigures, Report
from qi_learn.bench.learner import Trunk
from qi_learn.bench.methods import DEFAULT, Method
from qi_learn.bench.streams import (
    CONVENTIONS,
    REPOSITORIES,
    STREAMS,
    OwnAnswers,
    Streams,
    StreamSizes,
)
from qi_learn.bench.tables import line
from qi_learn.bench.tasks import (
    REPOSITORY_DEV,
    REPOSITORY_TRAIN,
    anchors,
    yardsticks,
)
from qi_learn.errors import NotFound, SettingsError
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.stats import mean

Say = Callable[[str], None]
SHOTS, QUICK_SHOTS = (4, 8, 16, 48), (8,)
"""Examples of each task."""
QUICK_TASKS, QUICK_STEPS, QUICK_TRAIN, QUICK_TESTS = 2, 4, 8, 3
QUICK_ANCHORS, QUICK_YARDSTICKS = 32, 2
"""Sizes of a run that only shows that everything works."""


@dataclass(frozen=True, slots=True)
class Request:
    """A run of the benchmark."""

    base: Path
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    with_fewer: tuple[Method, ...] = ()
    """Methods where a task has fewer examples than the most; empty: all."""
    streams: tuple[str, ...] = STREAMS
    shots: tuple[int, ...] = ()
    """Examples of each task; empty: SHOTS, or all that a repository gives."""
    tasks: int = 4
    steps: int | None = None
    """Optimiser steps of a stage; None: as the plan derives them."""
    repositories: tuple[Path, ...] = ()
    """Instead of streams that are made by a seed."""
    long: int | None = None
    """The seed of a stream of 20 updates; None: not run."""
    cache: Path | None = None
    """Directory that keeps Fishers and own answers of the base between runs, and the finished cells
    if `finished` is None; None: nothing is kept.
    """
    finished: Path | None = None
    """File of finished cells, from which the run goes on."""
    part: Slice = WHOLE
    quick: bool = False
    """A few minutes in all: a small part of the tests and steps, whose figures mean little."""

    def cells(self) -> tuple[Cell, ...]:
        """All cells of the run, whatever part of it is asked for: those of a seed together."""
        streams = (REPOSITORIES,) if self.repositories else self.streams
        most = max(self._shots())
        made = [
            Cell(stream, method.name, seed, shots)
            for seed in self.seeds
            for stream in streams
            for shots in sorted(self._shots(), reverse=True)
            for method in (shots < most and self.with_fewer) or self.methods
        ]
        if self.long is not None:
            made.append(Cell(CONVENTIONS, LONG_NAME, self.long, max(SHOTS)))
        return tuple(made)

    def _shots(self) -> tuple[int, ...]:
        if self.shots:
            return self.shots
        if self.repositories:
            return (REPOSITORY_TRAIN + REPOSITORY_DEV,)
        return QUICK_SHOTS if self.quick else SHOTS


def run(request: Request, report: Report, *, say: Say) -> None:
    """Run everything requested into `report`, as it is measured; `say` reports each step.

    What was finished before is taken from the request's file. Raises QiError if something cannot be
    measured.
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
            finished = _finished(request)
            figures = _cell_figures(request, Path(work), vocabulary, finished, report, say)
            _run_cells(request, figures, finished, report, say)
    finally:
        report.seconds = time.monotonic() - began


def _run_cells(
    request: Request, figures: CellFigures, finished: FinishedCells, report: Report, say: Say
) -> None:
    """Measure the cells of this part that are not finished; report those that are, of all parts."""
    cells = request.cells()
    known = {cell: finished.get(cell, MethodFigures) for cell in cells}
    missing = [cell for cell in request.part.cells(cells) if known[cell] is None]
    report.cells = len(cells)
    for cell in cells:
        if (found := known[cell]) is not None:
            if cell.method != LONG_NAME:
                figures.reference(cell.stream, cell.seed)
            report.at_base = figures.at_base
            _add(report, found)
    for number, cell in enumerate(missing):
        if cell.stream in report.left_out:
            continue
        say(f"{number + 1} of {len(missing)}: {cell}")
        began = time.monotonic()
        try:
            measured = figures.of(cell)
        except NotFound as error:
            if request.repositories:
                raise
            report.left_out[cell.stream] = error.what
            continue
        finished.put(cell, measured)
        _add(report, measured)
        say(line(measured))
        left = len(missing) - number - 1
        if left:
            say(_outlook(report, left, time.monotonic() - began))


def _add(report: Report, measured: MethodFigures) -> None:
    (report.long if measured.method == LONG_NAME else report.outcomes).append(measured)


def _outlook(report: Report, left: int, last: float) -> str:
    seconds = mean([o.cell_seconds for o in (*report.outcomes, *report.long)])
    return f"  {last:.0f} s; {left} cells are left, some {left * seconds / 3600:.1f} h at this pace"


def _finished(request: Request) -> FinishedCells:
    file = request.finished
    if file is None and request.cache is not None:
        file = request.cache / "cells.jsonl"
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return FinishedCells(
        file,
        {
            "base": sha256_of(request.base),
            "code": code_version(),
            "tasks": QUICK_TASKS if request.quick else request.tasks,
            "steps": request.steps,
            "quick": request.quick,
            "repositories": [str(path.resolve()) for path in request.repositories],
        },
    )


def _cell_figures(
    request: Request,
    work: Path,
    vocabulary: Vocabulary,
    finished: FinishedCells,
    report: Report,
    say: Say,
) -> CellFigures:
    quick, cache = request.quick, request.cache or work
    cache.mkdir(parents=True, exist_ok=True)
    digest = sha256_of(request.base)
    trunk = Trunk(
        request.base,
        digest,
        anchors(vocabulary)[: QUICK_ANCHORS if quick else None],
        yardsticks(vocabulary)[: QUICK_YARDSTICKS if quick else None],
        cache,
    )
    sizes = StreamSizes(
        QUICK_TASKS if quick else request.tasks,
        QUICK_TRAIN if quick else None,
        QUICK_TESTS if quick else None,
    )
    own = OwnAnswers(request.base, cache / f"own-answers-{digest[:12]}.jsonl")
    return CellFigures(
        trunk,
        Streams(vocabulary, sizes, own, request.repositories),
        everything_else(vocabulary, quick=quick),
        vocabulary,
        work,
        methods={method.name: method for method in (*request.methods, DEFAULT)},
        steps=request.steps or (QUICK_STEPS if quick else None),
        always_changes=quick,
        finished=finished,
        report=report,
        say=say,
    )
