"""`redact`: what counts as a secret, tried on a text."""

from __future__ import annotations

from pathlib import Path

import click

from qi_learn.cli.output import FILE, echo, print_json, read_input, with_json


@click.command()
@click.option(
    "--check",
    type=FILE,
    required=True,
    help="A text file, or - for the input; nothing is written.",
)
@with_json
def redact(check: Path, as_json: bool) -> None:
    """Show what would be taken out of a text before it is stored: line, kind, two characters."""
    from qi_learn.commands.redact import check_text
    from qi_learn.redact import catalogue_line

    places = check_text(read_input(check))
    if as_json:
        print_json({"rules": catalogue_line(), "secrets": places})
        return
    for place in places:
        echo(f"line {place.line}: {place.kind}, {place.begins}... ({place.length} characters)")
    count = f"{len(places)} secrets" if len(places) != 1 else "1 secret"
    echo(f"{count} would be taken out ({catalogue_line()})")
