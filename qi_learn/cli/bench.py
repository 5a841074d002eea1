"""What shows and measures qi-learn with its own code: `demo`, `bench learning`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qi_learn.cli.output import Json, print_json


def demo(
    repo: Annotated[
        Path | None,
        typer.Option(
            help="Your own git repository, played in commit order, instead of an installed package."
        ),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10,
            help="How many learning cycles.",
            show_default="2, with --quick 1",
        ),
    ] = None,
    ollama: Annotated[
        str | None, typer.Option(help="Work on this Ollama server instead of the embedded engine.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="One small cycle in a few minutes: the same story, but its figures mean little.",
        ),
    ] = False,
    as_json: Json = False,
    keep: Annotated[
        bool, typer.Option(help="Leave the throw-away home in place and say where it is.")
    ] = False,
) -> None:
    """One learning cycle and one more, end to end on real code, explained as it goes.

    It works in a throw-away home.
    """
    from qi_learn.demo.command import run_demo

    code = run_demo(
        repo=repo, cycles=cycles, ollama=ollama, quick=quick, as_json=as_json, keep=keep
    )
    if code:
        raise typer.Exit(code)


def bench_learning(
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=0, help="How many streams, from seed 0 on; 0: only what --long runs."
        ),
    ] = 3,
    first_seed: Annotated[int, typer.Option("--first-seed", help="The first seed.")] = 0,
    tasks: Annotated[
        int, typer.Option("--tasks", min=1, max=25, help="Conventions of a stream.")
    ] = 4,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, help="Optimiser steps a stage (default: as a cycle derives them)."
        ),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Only this method; may be repeated.")
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="All methods: each part alone, averaging, joint, other targets."
        ),
    ] = False,
    long: Annotated[
        bool,
        typer.Option("--long", help="Then 20 updates in a row, each packed as it would be served."),
    ] = False,
    repo: Annotated[
        list[Path] | None,
        typer.Option(
            "--repo", help="Real git repositories instead of conventions; one task each, repeat it."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="The base model's GGUF (default: the embedded one)."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Keep the base's Fisher here for the next run.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A minute or two that show that everything works; the figures mean little.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Does it learn, and does it forget?

    Several methods on streams of conventions, measured on the packed file.
    """
    from qi_learn.bench.parts import require_parts

    require_parts()
    from qi_learn.bench.command import LearningOptions, run_learning

    options = LearningOptions(
        seeds=tuple(range(first_seed, first_seed + seeds)),
        tasks=tasks,
        steps=steps,
        names=method or [],
        every=every,
        long=first_seed if long else None,
        repositories=repo or [],
        base=base,
        cache=cache,
        quick=quick,
    )
    run_learning(options, print_json if as_json else typer.echo, as_json=as_json)
