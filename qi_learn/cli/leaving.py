"""What a person takes along and leaves behind: `export`, `uninstall`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.exceptions import Exit

from qi_learn.cli.listed import Listed
from qi_learn.cli.output import FILE, echo, open_settings, print_json, readable_home, with_json
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
    for removal in found.removals if dry_run or not yes else ():  # each is told as it goes
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
    help="Everything that is known about you, into a directory that is new or empty.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("jsonl", "openai", "sharegpt", "dpo")),
    help="Into a new file: every turn, to bring back with `import jsonl`; or the examples that may "
    "be learned, in a form of other trainers.",
)
@click.argument("dest", metavar="DEST", type=FILE, help="The directory, or the file.")
@with_json
def export_data(everything: bool, form: str | None, dest: Path, as_json: bool) -> None:
    """Write what was recorded: all of it, readable; or turns or examples, for other programs."""
    from qi_learn.commands import export as command

    if everything == (form is not None):
        raise click.UsageError("Say --all for everything, or a --format.")
    if everything and as_json:
        raise click.UsageError("--json goes with --format.")
    try:
        if everything:
            _everything(dest)
        else:
            _examples(dest, form or "", as_json=as_json)
    except OSError as error:
        raise command.problem_of(error, dest) from error


def _everything(directory: Path) -> None:
    import time

    from qi_learn.commands import export as command

    home = readable_home()
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for file in command.export_everything(home, directory, now=now):
        echo(f"{file.name:<24}{file.count or '':<10}{file.words}")
    echo(f"{directory / command.README} says what is what, and what was not copied.")


def _examples(file: Path, form: str, *, as_json: bool) -> None:
    from qi_learn.commands.export_examples import ExampleReport, export_examples
    from qi_learn.commands.export_turns import export_turns

    paths, settings = open_settings()
    readable_home()
    if form == "jsonl":
        report = ExampleReport(export_turns(paths, file), {})
    else:
        report = export_examples(paths, settings, file, form)  # type: ignore[arg-type]  # one of the three
    if as_json:
        print_json(report)
        return
    what = {"jsonl": "turn", "dpo": "pair"}.get(form, "example")
    echo(f"{file}: {report.written} {what}{'s' * (report.written != 1)}")
    for reason, count in sorted(report.left_out.items()):
        echo(f"left out   {count}: {reason}")
