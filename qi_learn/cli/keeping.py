"""What is kept, and what goes: `forget`, `backup`, `restore`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from click.exceptions import Exit

from qi_learn.cli.output import (
    FILE,
    absolute,
    dry_run,
    echo,
    here,
    print_json,
    readable_home,
    with_json,
)
from qi_learn.errors import EXIT_FAILED
from qi_learn.paths import Paths


@click.command()
@click.argument(
    "ids",
    nargs=-1,
    metavar="[ID ...]",
    help="Answers by their ids, the beginnings of ids, or `last`.",
)
@click.option(
    "--grep",
    metavar="PATTERN",
    help="Everything that says this: a regular expression or a plain text, capital or not.",
)
@click.option("--project", type=FILE, help="Everything of the project in this directory.")
@click.option(
    "--since",
    metavar="WHEN",
    help="Everything since then: 2h (ago), 30m, 7d, today, yesterday, 2026-11-28, "
    "2026-11-28T14:00.",
)
@dry_run
@click.option(
    "--keep-record", is_flag=True, help="Keep it for `qi-learn log`, but never learn from it."
)
@click.option(
    "--retrain",
    is_flag=True,
    help="Let the next cycle start from the newest version that saw none of it.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether what --grep finds may go.")
@with_json
def forget(
    ids: tuple[str, ...],
    grep: str | None,
    project: Path | None,
    since: str | None,
    dry_run: bool,
    keep_record: bool,
    retrain: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Forget answers: everywhere, for good, with a receipt of what went and what stays."""
    from qi_learn.commands import forget as command
    from qi_learn.records import ForgetRequest

    if sum(bool(each) for each in (ids, grep, project, since)) != 1:
        raise click.UsageError("Say what: ids, or one of --grep, --project and --since.")
    paths, now = readable_home(), time.time()
    request = ForgetRequest(
        asked=now,
        ids=ids,
        grep=grep or "",
        project=str(_project(paths, project)) if project else "",
        since=_when(since, now) if since else None,
        keep_record=keep_record,
        retrain=retrain,
    )
    receipt = command.forget(
        paths,
        request,
        dry_run=dry_run,
        directory=here() if "last" in ids else None,
        tell=(lambda words: None) if as_json else echo,
        agree=(lambda answers: None) if yes or keep_record or not _is_asked() else _agree,
    )
    if as_json:
        print_json(receipt)
    else:
        echo(command.as_text(receipt))


def _is_asked() -> bool:
    """Whether a person sits there: what a script does is not asked about."""
    return sys.stdin is not None and sys.stdin.isatty()


def _agree(answers: int) -> None:
    """Ask whether so many answers may go; end the command if not."""
    these = "this answer" if answers == 1 else f"these {answers} answers"
    if not click.confirm(f"Forget {these}? It cannot be undone", err=True):
        echo("Nothing was forgotten.")
        raise Exit(EXIT_FAILED)


def _project(paths: Paths, directory: Path) -> Path:
    from qi_learn.workspace.registry import project_of

    directory = absolute(directory)
    return project_of(paths, directory) or directory.resolve()


def _when(text: str, now: float) -> float:
    from qi_learn.commands.forget import parse_when

    try:
        return parse_when(text, now)
    except ValueError:
        raise click.UsageError(
            f"{text!r} is no time: 2h, 30m, 7d, today, yesterday or a date."
        ) from None


@click.command()
@click.argument("file", type=FILE, metavar="FILE", help="The file to write (a tar file).")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@with_json
def backup(file: Path, force: bool, as_json: bool) -> None:
    """Write everything this home needs to one file; works while the daemon runs."""
    from qi_learn.commands import backup as command

    report = command.backup(readable_home(), file, force=force)
    if as_json:
        print_json(report)
    else:
        echo(command.as_text(report, restored=False))


@click.command()
@click.argument("file", type=FILE, metavar="FILE", help="A file that `qi-learn backup` wrote.")
@click.option("--force", is_flag=True, help="Put it in the place of what is here.")
@with_json
def restore(file: Path, force: bool, as_json: bool) -> None:
    """Make this home what a backup holds; what was forgotten here since stays forgotten."""
    from qi_learn.commands import backup as command

    report = command.restore(Paths.default(), file, force=force)
    if as_json:
        print_json(report)
    else:
        echo(command.as_text(report, restored=True))
