"""A while without recording: `pause`, `resume`."""

from __future__ import annotations

import click

from qi_learn.cli.output import echo
from qi_learn.paths import Paths


@click.command()
@click.argument(
    "span",
    required=False,
    metavar="[30m]",
    help="How long, like 30m, 2h or 1d; without it until `resume`.",
)
def pause(span: str | None) -> None:
    """Record nothing for a while; requests pass and are answered as before."""
    from qi_learn.commands import pause as command

    echo(command.pause(Paths.default(), span))


@click.command()
def resume() -> None:
    """End a pause: what comes from now on is recorded."""
    from qi_learn.commands import pause as command

    echo(command.resume(Paths.default()))
