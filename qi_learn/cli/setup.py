"""Setting up and looking: `init`, `config`, `doctor`, `status`."""

from __future__ import annotations

from pathlib import Path

import click
from click.exceptions import Exit

from qi_learn.cli.output import FILE, echo, here, open_settings, print_json, with_json
from qi_learn.paths import Paths
from qi_learn.terminal_text import harmless


@click.command()
@click.argument(
    "path",
    type=FILE,
    default=Path(),
    help="The project to watch; its git repository if it lies in one.",
)
@click.option("--remove", is_flag=True, help="Take the project back: it is no longer watched.")
def init(path: Path, remove: bool) -> None:
    """Register a project and make version 1.0.0 from the base model."""
    from qi_learn.commands.init import forget_project, initialise

    path = path if path.is_absolute() else here() / path
    paths, settings = open_settings()
    if remove:
        echo(forget_project(paths, path))
        return
    for line in initialise(paths, settings, path):
        echo(line)


@click.command()
@with_json
def config(as_json: bool) -> None:
    """Show every setting with its value and where it comes from."""
    from qi_learn.report import config as report
    from qi_learn.settings import settings_table

    paths, settings = open_settings()
    if as_json:
        print_json(settings_table(settings))
    else:
        click.echo(harmless(report.as_text(paths, settings)))  # TOML: its lines stay whole


@click.command()
@with_json
def doctor(as_json: bool) -> None:
    """Look for what is missing or known to cause trouble, and say what to do."""
    from qi_learn.report import doctor as report

    findings = report.examine(Paths.default())
    if as_json:
        print_json({"checks": findings})
    else:
        for finding in findings:
            echo(report.as_text(finding))
    if not all(f.ok for f in findings):
        raise Exit(1)


@click.command()
@with_json
@click.option("--seen", is_flag=True, help="Note that the lost turns were seen: tell them no more.")
def status(as_json: bool, seen: bool) -> None:
    """Is it recording, what is waiting, what is missing before it learns, which version answers."""
    from qi_learn.report import status as report

    paths = Paths.default()
    if seen:
        report.acknowledge_lost(paths)
    gathered = report.gather(paths)
    if as_json:
        print_json(gathered)
    else:
        echo(report.as_text(gathered))
