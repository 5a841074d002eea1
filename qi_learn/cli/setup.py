"""Setting up and looking: `init`, `config`, `doctor`, `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qi_learn.cli.output import Json, open_settings, print_json
from qi_learn.paths import Paths
from qi_learn.settings import settings_table


def init(
    path: Annotated[
        Path, typer.Argument(help="The project to watch; its git repository where it lies in one.")
    ] = Path(),
) -> None:
    """Register a project and make version 1.0.0 from the base model."""
    from qi_learn.commands import init as setup

    paths, settings = open_settings()
    for line in setup.initialise(paths, settings, path):
        typer.echo(line)


def config(as_json: Json = False) -> None:
    """Show every setting with its value and where it comes from."""
    from qi_learn.report import config as configuration

    paths, settings = open_settings()
    if as_json:
        print_json(settings_table(settings))
    else:
        typer.echo(configuration.as_text(paths, settings))


def doctor(as_json: Json = False) -> None:
    """Look for what is missing or known to cause trouble, and say what to do."""
    from qi_learn.report import doctor as checks

    found = checks.examine(Paths.default())
    if as_json:
        print_json({"checks": found})
    else:
        for finding in found:
            typer.echo(
                f"{'ok  ' if finding.ok else 'MEND'}  {finding.what}"
                + (f"\n   -> {finding.hint}" if finding.hint else "")
            )
    if not all(f.ok for f in found):
        raise typer.Exit(1)


def status(as_json: Json = False) -> None:
    """Is it recording, what is waiting, what is missing before it learns, which version answers."""
    from qi_learn.report import status as view

    paths, settings = open_settings()
    now_state = view.gather(paths, settings)
    if as_json:
        print_json(now_state)
    else:
        typer.echo(view.as_text(now_state))
