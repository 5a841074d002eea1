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

from qi_learn.bench import figures, learning, methods, tables
from qi_learn.bench.cells import part_asked
from qi_learn.bench.streams import STREAMS
from qi_learn.deploy import model_server
from qi_learn.errors import NotFound, SettingsError
from qi_learn.train.__main__ import ENVIRONMENT

LEAST_SHOTS = 4
"""One for early stopping, and more than the two that in-context shows."""


def learning_methods(
    names: Sequence[str], *, every: bool, quick: bool = False
) -> tuple[methods.Method, ...]:
    """The methods by their names; the usual ones if none is named, the recipe alone if `quick`.

    Raises NotFound for an unknown name.
    """
    if unknown := [name for name in names if name not in methods.ALL]:
        raise NotFound(
            f"There is no method `{unknown[0]}`.", f"The methods are: {', '.join(methods.ALL)}."
        )
    if names:
        return tuple(methods.ALL[name] for name in names)
    if every:
        return tuple(methods.ALL.values())
    return (methods.DEFAULT,) if quick else methods.USUAL


def known_streams(names: Sequence[str]) -> tuple[str, ...]:
    """The streams by their names; all if none is named. Raises NotFound for an unknown name."""
    if unknown := [name for name in names if name not in STREAMS]:
        raise NotFound(
            f"There is no stream `{unknown[0]}`.", f"The streams are: {', '.join(STREAMS)}."
        )
    return tuple(dict.fromkeys(names)) or STREAMS


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
    streams: Sequence[str]
    """All if empty."""
    shots: str | None
    """`4,8,16,48`; None: the usual ones."""
    repositories: Sequence[Path]
    base: Path | None
    """A GGUF file; None: the embedded one."""
    cache: Path | None
    resume: Path | None
    """File of finished cells."""
    part: str | None
    """`2/5`; None: the whole run."""
    quick: bool


def run_learning(options: LearningOptions, out: Callable[[Any], None], *, as_json: bool) -> None:
    """Run the benchmark and print it.

    If it ends early (Ctrl-C, a fault), it prints what was measured until then. Raises QiError.
    """
    request = learning.Request(
        base=options.base or model_server.embedded_file(),
        methods=learning_methods(options.names, every=options.every, quick=options.quick),
        seeds=options.seeds,
        with_fewer=() if options.names or options.every or options.quick else methods.WITH_FEWER,
        tasks=options.tasks,
        steps=options.steps,
        streams=known_streams(options.streams),
        shots=_shots(options.shots),
        repositories=tuple(options.repositories),
        long=options.long,
        cache=options.cache,
        finished=options.resume,
        part=part_asked(options.part),
        quick=options.quick,
    )
    os.environ.update(ENVIRONMENT)  # read by torch when it is imported, which is not yet
    report = figures.Report()
    try:
        learning.run(request, report, say=say)
    finally:
        if report.references or report.outcomes or report.long:
            _print(report, out, as_json=as_json)


def _print(report: figures.Report, out: Callable[[Any], None], *, as_json: bool) -> None:
    if as_json:
        out(report.figures())
    else:
        out(tables.table(report))
        out(tables.summary(report.figures()))


def _shots(text: str | None) -> tuple[int, ...]:
    try:
        shots = tuple(map(int, text.split(","))) if text else ()
    except ValueError:
        shots = (0,)
    if any(number < LEAST_SHOTS for number in shots):
        raise SettingsError(
            f"`--shots {text}` is not a list of numbers from {LEAST_SHOTS} on.",
            "Give for one `--shots 4,8,16,48`.",
        )
    return tuple(dict.fromkeys(shots))


def say(text: str) -> None:
    """Report a step: on stderr, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
