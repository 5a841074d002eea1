"""What shows and measures qi-learn with its own code: `demo`, `bench learning`, `bench day`."""

from __future__ import annotations

from pathlib import Path

import click
from click.exceptions import Exit

from qi_learn.cli.listed import Listed
from qi_learn.cli.output import FILE, print_json, with_json

_base = click.option("--base", type=FILE, help="The base model's GGUF (default: the embedded one).")
_quick = click.option(
    "--quick",
    is_flag=True,
    help="A few minutes that show that everything works; the figures mean little.",
)


@click.command()
@click.option(
    "--repo",
    type=FILE,
    help="Your own git repository, played in commit order, instead of an installed package.",
)
@click.option(
    "--cycles",
    type=click.IntRange(1, 10),
    help="How many learning cycles.",
    show_default="2, with --quick 1",
)
@click.option("--ollama", help="Work on this Ollama server instead of the embedded engine.")
@click.option(
    "--quick",
    is_flag=True,
    help="One small cycle in a few minutes: the same story, but its figures mean little.",
)
@with_json
@click.option(
    "--keep/--no-keep",
    default=False,
    help="Leave the throw-away home in place and say where it is.",
)
def demo(
    repo: Path | None,
    cycles: int | None,
    ollama: str | None,
    quick: bool,
    as_json: bool,
    keep: bool,
) -> None:
    """One learning cycle and one more, end to end on real code, explained as it goes.

    It works in a throw-away home.
    """
    from qi_learn.demo.command import run_demo

    code = run_demo(
        repo=repo, cycles=cycles, ollama=ollama, quick=quick, as_json=as_json, keep=keep
    )
    if code:
        raise Exit(code)


@click.group(cls=Listed)
def bench() -> None:
    """Measure what qi-learn does, with its own code."""


@bench.command("learning")
@click.option(
    "--seeds",
    type=click.IntRange(min=0),
    help="How many seeds, from 0 on; 0: only what --long runs.",
    show_default="3, with --quick 1",
)
@click.option("--first-seed", type=int, default=0, help="The first seed.")
@click.option(
    "--stream",
    multiple=True,
    help="Only this stream; may be repeated: conventions, conditional, edits.",
)
@click.option("--shots", help="Examples of each task (default: 4,8,16,48).")
@click.option(
    "--tasks",
    type=click.IntRange(1, 25),
    default=4,
    help="Conventions of a stream; the others have half as many.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Optimiser steps a stage (default: as a cycle derives them).",
)
@click.option(
    "--method",
    multiple=True,
    help="Only this method; may be repeated (default: four, two of them with fewer examples).",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="All methods: each part alone, averaging, joint, other targets.",
)
@click.option(
    "--long", is_flag=True, help="Then 20 updates in a row, each packed as it would be served."
)
@click.option(
    "--repo",
    type=FILE,
    multiple=True,
    help="Real git repositories instead of conventions; one task each, repeat it.",
)
@_base
@click.option(
    "--cache",
    type=FILE,
    help="Keep the base's Fisher and own answers here for the next run, and the finished cells.",
)
@click.option(
    "--resume", type=FILE, help="Go on from the finished cells in this file, and keep them there."
)
@click.option("--slice", "part", help="Only a part of the cells: 2/5 is the second of five.")
@_quick
@with_json
def bench_learning(
    seeds: int | None,
    first_seed: int,
    stream: tuple[str, ...],
    shots: str | None,
    tasks: int,
    steps: int | None,
    method: tuple[str, ...],
    every: bool,
    long: bool,
    repo: tuple[Path, ...],
    base: Path | None,
    cache: Path | None,
    resume: Path | None,
    part: str | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Does it learn, and does it forget?

    Several methods on streams of tasks with few and many examples, measured on the packed file.
    """
    from qi_learn.bench.parts import require_parts

    require_parts()
    from qi_learn.bench.command import LearningOptions, run_learning

    count = (1 if quick else 3) if seeds is None else seeds
    options = LearningOptions(
        seeds=tuple(range(first_seed, first_seed + count)),
        tasks=tasks,
        steps=steps,
        names=list(method),
        every=every,
        long=first_seed if long else None,
        streams=list(stream),
        shots=shots,
        repositories=list(repo),
        base=base,
        cache=cache,
        resume=resume,
        part=part,
        quick=quick,
    )
    run_learning(options, print_json if as_json else click.echo, as_json=as_json)


@bench.command("day")
@click.option(
    "--repo",
    type=FILE,
    multiple=True,
    required=True,
    help="A git repository, or a folder with 20 or more releases of one package; repeat it.",
)
@click.option(
    "--fates",
    multiple=True,
    help="Only this mix of what becomes of answers; may be repeated: usual, trusting.",
    show_default="usual, for the first seed trusting too",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="How many seeds, from 0 on.")
@click.option("--first-seed", type=int, default=0, help="The first seed.")
@click.option(
    "--most",
    type=click.IntRange(min=1),
    help="The newest so many functions of a history.",
    show_default="300, with --quick 32",
)
@click.option(
    "--answers",
    type=click.IntRange(min=0),
    help="Functions that the models answer themselves, for the edit distance.",
    show_default="24, with --quick 3",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    help="Examples of the person's own that start a cycle (default: as train.min_interactions).",
)
@_base
@click.option(
    "--cache", type=FILE, help="Keep the base's Fisher here for the next run, and finished runs."
)
@click.option(
    "--resume", type=FILE, help="Go on from the finished runs in this file, and keep them there."
)
@click.option("--slice", "part", help="Only a part of the runs: 2/5 is the second of five.")
@_quick
@with_json
def bench_day(
    repo: tuple[Path, ...],
    fates: tuple[str, ...],
    seeds: int,
    first_seed: int,
    most: int | None,
    answers: int | None,
    every: int | None,
    base: Path | None,
    cache: Path | None,
    resume: Path | None,
    part: str | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Would it have helped, day after day?

    A history is played as work: every function is asked of the live model before it is learned.
    """
    from qi_learn.bench.parts import require_parts

    require_parts()
    from qi_learn.bench.day.day_command import DayOptions, run_day

    options = DayOptions(
        repositories=list(repo),
        fates=list(fates),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        most=most,
        answers=answers,
        every=every,
        base=base,
        cache=cache,
        resume=resume,
        part=part,
        quick=quick,
    )
    run_day(options, print_json if as_json else click.echo, as_json=as_json)
