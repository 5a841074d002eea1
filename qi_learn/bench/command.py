"""What `qi-learn bench learning` asks of the benchmark, and how it is told: progress on stderr,
then the table or one JSON object on stdout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qi_learn.bench import figures, learning, methods
from qi_learn.deploy import model_server
from qi_learn.errors import NotFound
from qi_learn.train.__main__ import ENVIRONMENT


def learning_methods(names: Sequence[str], *, every: bool) -> tuple[methods.Method, ...]:
    """The methods by their names; the usual ones where none is named.

    Raises NotFound for a name that there is not.
    """
    if unknown := [name for name in names if name not in methods.ALL]:
        raise NotFound(
            f"There is no method `{unknown[0]}`.", f"The methods are: {', '.join(methods.ALL)}."
        )
    if names:
        return tuple(methods.ALL[name] for name in names)
    return tuple(methods.ALL.values()) if every else methods.USUAL


def run_learning(
    *,
    seeds: tuple[int, ...],
    tasks: int,
    steps: int | None,
    names: Sequence[str],
    every: bool,
    long: int | None,
    repositories: Sequence[Path],
    base: Path | None,
    cache: Path | None,
    quick: bool,
    out: Callable[[Any], None],
    as_json: bool,
) -> None:
    """Runs the benchmark and prints it; where it ends early (Ctrl-C, a fault), what was measured
    until then. Raises QiError.
    """
    request = learning.Request(
        base=base or model_server.embedded_file(),
        methods=learning_methods(names, every=every),
        seeds=seeds,
        tasks=tasks,
        steps=steps,
        repositories=tuple(repositories),
        long=long,
        cache=cache,
        quick=quick,
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
