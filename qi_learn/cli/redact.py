"""`redact`: what counts as a secret, tried on a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qi_learn.cli.output import Json, echo, print_json, read_input


def redact(
    check: Annotated[
        Path,
        typer.Option("--check", help="A text file, or - for the input; nothing is written."),
    ],
    as_json: Json = False,
) -> None:
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
