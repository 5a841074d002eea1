"""What a person takes along and leaves behind: `export`, `uninstall`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.exceptions import Exit

from qi_learn.cli.listed import Listed
from qi_learn.cli.output import FILE, echo, readable_home
from qi_learn.cli.output import dry_run as with_dry_run
from qi_learn.errors import EXIT_FAILED
from qi_learn.paths import Paths


@click.command()
@with_dry_run
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-data",
    is_flag=True,
    help="Leave what was recorded and learned, the models too; a later installation goes on.",
)
def uninstall(dry_run: bool, yes: bool, keep_data: bool) -> None:
    """Take away everything that was put on this machine: hooks, services, models, files."""
    from qi_learn.commands import uninstall as command

    leaving = command.Leaving(Paths.default(), keep_data)
    found = command.find_everything(leaving)
    for removal in found.removals:
        echo(f"{'would go' if dry_run else 'goes':<10}{removal.kind:<10}{removal.what}")
    for left in found.left:
        echo(f"{'stays':<10}{left}")
    if not found.removals:
        echo("There is nothing of qi-learn to take away.")
    if found.removals and not dry_run:
        if not yes and not click.confirm("Take all of this away? It cannot be undone"):
            echo("Nothing was taken away.")
            raise Exit(EXIT_FAILED)
        done = list(_told(command.take_away(leaving, found)))
        if any(line.startswith(command.NOT_GONE) for line in done):
            echo("Run it again once that is mended.")
            raise Exit(EXIT_FAILED)
    echo(command.program_text())


def _told(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        echo(line)
        yield line


@click.group(cls=Listed)
def export() -> None:
    """Write what is known into files of your own."""


@export.command("data")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Everything that is known about you. It has to be said: there is no smaller export.",
)
@click.argument("directory", metavar="DIR", type=FILE, help="A directory, new or empty.")
def export_data(everything: bool, directory: Path) -> None:
    """Write everything that was recorded, readable: a file a table, and a page on what is what."""
    import time

    from qi_learn.commands import export as command

    if not everything:
        raise click.UsageError("Say --all: examples for other trainers are not exported yet.")

    home = readable_home()
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    try:
        for file in command.export_everything(home, directory, now=now):
            echo(f"{file.name:<24}{file.count or '':<10}{file.words}")
    except OSError as error:
        raise command.problem_of(error, directory) from error
    echo(f"{directory / command.README} says what is what, and what was not copied.")
