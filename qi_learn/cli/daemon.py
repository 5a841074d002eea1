"""`qi-learn daemon`: in the foreground; `start` and `stop` through the client."""

from __future__ import annotations

import typer

from qi_learn.cli.output import open_settings
from qi_learn.paths import Paths


def daemon(context: typer.Context) -> None:
    """Run the daemon in the foreground (Ctrl-C stops it)."""
    if context.invoked_subcommand is None:
        from qi_learn.daemon.daemon import run_daemon

        paths, settings = open_settings()
        run_daemon(paths, settings)


def daemon_start() -> None:
    """Start the daemon in the background and wait until the gateway accepts."""
    from qi_learn.commands.connect import started_text
    from qi_learn.daemon import client

    paths, settings = open_settings()
    typer.echo(started_text(settings, client.start(paths)))


def daemon_stop() -> None:
    """Stop the daemon; a cycle under way goes on where it was when the daemon starts again."""
    from qi_learn.daemon import client

    stopped = client.stop(Paths.default())
    typer.echo("The daemon has stopped." if stopped else "The daemon was not running.")
