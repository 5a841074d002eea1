"""Cycles and versions: `train`, `bootstrap`, `versions`, `rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from qi_learn.cli.output import (
    FILE,
    absolute,
    echo,
    open_settings,
    print_json,
    readable_home,
    with_json,
)
from qi_learn.paths import Paths

if TYPE_CHECKING:
    from qi_learn.commands.train import CycleOutcome


@click.command()
@click.option(
    "--now",
    is_flag=True,
    help="Start a cycle at once, if the data allows one, and show it. Ctrl-C asks before it "
    "cancels.",
)
@click.option("--cancel", is_flag=True, help="End the cycle under way; the live version stays.")
def train(now: bool, cancel: bool) -> None:
    """Say whether it is time to learn; with --now, learn."""
    if cancel:
        _cancel()
    elif now:
        _train_now()
    else:
        from qi_learn.report import status

        echo(status.learning_text(status.gather(*open_settings())))


def _train_now() -> None:
    from qi_learn.commands.train import train_now
    from qi_learn.report import progress_view

    paths, settings = open_settings()
    with progress_view.view(echo) as view:
        ended = train_now(paths, settings, view)
    _leave(ended)


def _leave(ended: CycleOutcome) -> None:
    """Say which rules of the gate refused, if it did, and end with the code of the outcome."""
    if ended.run is not None and ended.state == "refused":
        from qi_learn.report.verdict_lines import refusal_lines

        if lines := refusal_lines(ended.run):
            more = f"    all of it: `qi-learn explain {ended.run.run_id}`"
            echo("\n".join((*lines, more)))
    if ended.exit_code:
        raise Exit(ended.exit_code)


def _cancel() -> None:
    from qi_learn.commands.train import cancel

    ended = cancel(Paths.default(), echo)
    if ended.state == "cancelled":
        echo("The cycle is cancelled; the live version is what it was.")
        return
    echo(
        ended.reason
        if ended.state == "left"
        else f"Not cancelled: it was {ended.state} before ({ended.reason})."
    )
    raise Exit(ended.exit_code or 1)


@click.command()
@click.argument("path", type=FILE, help="A registered project, which is a repository.")
def bootstrap(path: Path) -> None:
    """Learn from your own commits: `import git PATH`, and one cycle."""
    import time

    from qi_learn.commands.bootstrap import bootstrap as learn
    from qi_learn.report import progress_view

    paths, settings = open_settings()
    with progress_view.view(echo) as view:
        _, ended = learn(paths, settings, absolute(path), view, now=time.time())
    _leave(ended)


@click.command()
@with_json
def versions(as_json: bool) -> None:
    """List the versions of the model: which one is live, which ones can be gone back to.

    Below them the cycles whose candidate the gate refused.
    """
    from qi_learn.report import listing
    from qi_learn.report.refused_runs import refused_runs, refused_text

    paths = readable_home()
    lines, refused = listing.versions(paths), refused_runs(paths)
    if as_json:
        print_json({"versions": lines, "refused": refused})
        return
    echo(listing.versions_text(lines))
    if refused:
        echo(refused_text(refused))


@click.command()
@click.argument(
    "version", required=False, help="The version to go back to (default: the one before)."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@with_json
def rollback(version: str | None, dry_run: bool, as_json: bool) -> None:
    """Make an earlier version live again; needs no daemon, no network and no database."""
    from qi_learn.commands import rollback as command

    paths, settings = open_settings()
    done = command.roll_back(paths, settings, version=version, dry_run=dry_run)
    if as_json:
        print_json(done)
    else:
        echo(command.as_text(done))
