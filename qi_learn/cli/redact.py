"""`redact`: what counts as a secret, tried on a text or on all that is stored."""

from __future__ import annotations

from pathlib import Path

import click

from qi_learn.cli.output import FILE, echo, print_json, read_input, with_json
from qi_learn.paths import Paths


@click.command()
@click.option("--check", type=FILE, help="A text file, or - for the input; nothing is written.")
@click.option(
    "--again", is_flag=True, help="Look through all that is stored by the rules of today."
)
@with_json
def redact(check: Path | None, again: bool, as_json: bool) -> None:
    """Show what would be taken out of a text, or take out of what is stored what is known now."""
    if (check is None) == (not again):
        raise click.UsageError("Give --check FILE or --again.")
    if check is None:
        _again(as_json=as_json)
    else:
        _check(check, as_json=as_json)


def _check(check: Path, *, as_json: bool) -> None:
    """Line, kind and two characters of each secret."""
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


def _again(*, as_json: bool) -> None:
    """The receipt: what was rewritten and removed."""
    from qi_learn.commands.redact import redact_again
    from qi_learn.redact import catalogue_line

    receipt = redact_again(Paths.default())
    if as_json:
        print_json({"rules": catalogue_line(), "receipt": receipt})
        return
    for kind, count in sorted(receipt.rewritten.items()):
        echo(f"{kind}: {count} rewritten")
    for name in receipt.removed:
        echo(f"removed: {name}")
    if not receipt.rewritten and not receipt.removed:
        echo(f"nothing that is stored holds a secret that is known today ({catalogue_line()})")
