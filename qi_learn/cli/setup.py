"""Setting up and looking: `init`, `config`, `doctor`, `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qi_learn.cli.output import Json, echo, open_settings, print_json
from qi_learn.cli.terminal_text import harmless
from qi_learn.paths import Paths
from qi_learn.settings import settings_table


def init(
    path: Annotated[
        Path, typer.Argument(help="The project to watch; its git repository if it lies in one.")
    ] = Path(),
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the project back: it is no longer watched.")
    ] = False,
) -> None:
    """Register a project and make version 1.0.0 from the base model."""
    from qi_learn.commands.init import forget_project, initialise

    paths, settings = open_settings()
    if remove:
        typer.echo(forget_project(paths, path))
        return
    for line in initialise(paths, settings, path):
        echo(line)


def config(as_json: Json = False) -> None:
    """Show every setting with its value and where it comes from."""
    from qi_learn.report import config as report

    paths, settings = open_settings()
    if as_json:
        print_json(settings_table(settings))
    else:
        typer.echo(harmless(report.as_text(paths, settings)))  # TOML: its lines stay whole


def doctor(as_json: Json = False) -> None:
    """Look for what is missing or known to cause trouble, and say what to do."""
    from qi_learn.report import doctor as report

    findings = report.examine(Paths.default())
    if as_json:
        print_json({"checks": findings})
    else:
        for finding in findings:
            echo(report.as_text(finding))
    if not all(f.ok for f in findings):
        raise typer.Exit(1)


def status(
    as_json: Json = False,
    seen: Annotated[
        bool, typer.Option("--seen", help="Note that the lost turns were seen: tell them no more.")
    ] = False,
) -> None:
    """Is it recording, what is waiting, what is missing before it learns, which version answers."""
    from qi_learn.report import status as report

    paths, settings = open_settings()
    if seen:
        report.acknowledge_lost(paths)
    gathered = report.gather(paths, settings)
    if as_json:
        print_json(gathered)
    else:
        echo(report.as_text(gathered))
