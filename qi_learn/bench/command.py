"""`qi-learn bench learning`: its options as a request to the benchmark, and what it prints.

Progress goes to stderr, then the table or one JSON object to stdout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.bench import figures, learning, methods
from qi_learn.deploy import model_server
from qi_learn.errors import NotFound
from qi_learn.train.__main__ import ENVIRONMENT


def learning_methods(names: Sequence[str], *, every: bool) -> tuple[methods.Method, ...]:
    """The methods by their names; the usual ones if none is named.

    Raises NotFound for an unknown name.
    """
    if unknown := [name for name in names if name not in methods.ALL]:
        raise NotFound(
            f"There is no method `{unknown[0]}`.", f"The methods are: {', '.join(methods.ALL)}."
        )
    if names:
        return tuple(methods.ALL[name] for name in names)
    return tuple(methods.ALL.values()) if every else methods.USUAL


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """The options of the command, as they were given."""

    seeds: tuple[int, ...]
    tasks: int
    steps: int | None
    names: Sequence[str]
    """Methods; the usual ones if empty, or all with `every`."""
    every: bool
    long: int | None
    repositories: Sequence[Path]
    base: Path | None
    """A GGUF file; None: the embedded one."""
    cache: Path | None
    quick: bool


def run_learning(options: LearningOptions, out: Callable[[Any], None], *, as_json: bool) -> None:
    """Run the benchmark and print it.

    If it ends early (Ctrl-C, a fault), it prints what was measured until then. Raises QiError.
    """
    request = learning.Request(
        base=options.base or model_server.embedded_file(),
        methods=learning_methods(options.names, every=options.every),
        seeds=options.seeds,
        tasks=options.tasks,
        steps=options.steps,
        repositories=tuple(options.repositories),
        long=options.long,
        cache=options.cache,
        quick=options.quick,
    )
    os.environ.update(ENVIRONMENT)  # read by torch when it is imported, which is not yet
    report = figures.Report()
    try:
        learning.run(request, report, say=_say)
    finally:
        if report.references or report.long:
            _print(report, out, as_json=as_json)


def _print(report: figures.Report, out: Callable[[Any], None], *, as_json: bool) -> None:
    if as_json:
        out(report.figures())
    else:
        out(figures.table(report))
        out(figures.summary(report.figures()))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
