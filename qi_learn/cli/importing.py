"""Evidence from elsewhere: `import`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_learn.cli.output import (
    FILE,
    absolute,
    dry_run,
    echo,
    open_settings,
    print_json,
    with_json,
)

if TYPE_CHECKING:
    from qi_learn.commands.import_request import ImportReport

SOURCE_NAMES = ("continue", "claude", "codex", "opencode", "aider", "llm", "jsonl", "git")


@click.command("import")
@click.argument(
    "source",
    type=click.Choice(SOURCE_NAMES),
    metavar="SOURCE",
    help=f"Whose log: {', '.join(SOURCE_NAMES[:-2])}; jsonl (an export of our own) or git (your "
    "own commits).",
)
@click.argument(
    "path",
    type=FILE,
    required=False,
    help="Its directory or file; if it is not given, where the program keeps it.",
)
@click.option(
    "--project", type=FILE, help="The registered project that all of it is of, whatever it says."
)
@click.option(
    "--moved",
    nargs=2,
    multiple=True,
    type=FILE,
    metavar="OLD NEW",
    help="What was in the directory OLD is in NEW by now; can be given several times.",
)
@click.option(
    "--local",
    is_flag=True,
    help="Models on this machine gave the answers of which the log does not say who did: they may "
    "be learned if the log has their whole question.",
)
@click.option("--again", is_flag=True, help="Read everything, not only what is new.")
@dry_run
@with_json
def import_(
    source: str,
    path: Path | None,
    project: Path | None,
    moved: tuple[tuple[Path, Path], ...],
    local: bool,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take in what other programs have logged: turns, and what they say became of them."""
    from qi_learn.commands.import_ import bring_in
    from qi_learn.commands.import_request import ImportRequest
    from qi_learn.commands.import_sources import SOURCES

    paths, settings = open_settings()
    given = path or SOURCES[source].usual_place(Path.home(), os.environ)
    request = ImportRequest(
        source,
        absolute(given.expanduser()),
        None if project is None else absolute(project),
        tuple((absolute(then), absolute(now)) for then, now in moved),
        local=local,
        again=again,
        dry_run=dry_run,
    )
    report = bring_in(paths, settings, request, now=time.time())
    if as_json:
        print_json(report)
    else:
        echo("\n".join(_lines(report)))


def _lines(report: ImportReport) -> Iterator[str]:
    new = report.turns + report.signs + report.ratings + report.commands
    would = "would be " * report.dry_run
    files = f"{report.files} file{'s' * (report.files != 1)}"
    if report.unchanged == report.files:
        yield f"nothing new   {files}, unchanged since the last import"
        return
    yield f"{would}imported   {_count(report.turns, 'turn')} from {files}"
    if report.signs or report.ratings:
        yield (
            f"{would}told   {_count(report.signs, 'sign')} of what became of edits, "
            f"{_count(report.ratings, 'rating')}"
        )
    if report.commands:
        yield f"{would}told   {_count(report.commands, 'command result')}"
    if report.recorded:
        yield f"known   {_count(report.recorded, 'turn')} that the gateway has recorded itself"
    for reason, count in sorted(report.left_out.items()):
        yield f"left out   {count}: {reason}"
    if report.not_understood:
        yield f"not understood   {report.not_understood}"
        yield from (f"  {example}" for example in report.examples)
    if report.waits and new and not report.dry_run:
        yield "They are taken in once the daemon runs: `qi-learn daemon start`."


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
