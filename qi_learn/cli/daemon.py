"""`qi-learn daemon`: in the foreground, in the background through the client, and as a service."""

from __future__ import annotations

from typing import Annotated

import typer

from qi_learn.cli.output import Json, echo, open_settings, print_json
from qi_learn.errors import EXIT_NO_DAEMON
from qi_learn.paths import Paths

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")]


def daemon(
    context: typer.Context,
    gateway_service: Annotated[
        bool,
        typer.Option(
            "--gateway-service",
            help="Start no gateway: it is a service of its own (see `daemon install`).",
        ),
    ] = False,
) -> None:
    """Run the daemon in the foreground (Ctrl-C stops it)."""
    if context.invoked_subcommand is None:
        from qi_learn.daemon.daemon import run_daemon

        paths, settings = open_settings()
        run_daemon(paths, settings, service=gateway_service)


def daemon_start() -> None:
    """Start the daemon in the background and wait until the gateway accepts."""
    from qi_learn.commands.connect import started_text
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client

    paths, settings = open_settings()
    if manages(paths) and not client.locked(paths):
        ask_systemd("start")
    echo(started_text(settings, client.start(paths)))


def daemon_stop() -> None:
    """Stop daemon and gateway; a cycle under way goes on where it was at the next start."""
    from qi_learn.commands.connect import stopped_text
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client

    paths = Paths.default()
    service = manages(paths) and client.locked(paths)
    if service:
        ask_systemd("stop")
    stopped = client.stop(paths)
    echo("The service has stopped." if service else stopped_text(stopped))


def daemon_restart() -> None:
    """Stop daemon and gateway and start them again, with the settings as they are now."""
    from qi_learn.commands.connect import started_text
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client

    paths, settings = open_settings()
    if manages(paths):
        ask_systemd("restart")
    else:
        client.stop(paths)
    echo(started_text(settings, client.start(paths)))


def daemon_status(as_json: Json = False) -> None:
    """Say whether daemon, gateway and engine run; exits with 0 if the daemon does, else with 3."""
    from qi_learn.report import daemon_status as report

    found = report.gather(Paths.default())
    if as_json:
        print_json(found)
    else:
        echo(report.as_text(found))
    if not found.running:
        raise typer.Exit(EXIT_NO_DAEMON)


def daemon_install(dry_run: DryRun = False) -> None:
    """Have the system start daemon and gateway at every login, and again when one ends."""
    from qi_learn.commands.service import install

    paths, settings = open_settings()
    for line in install(paths, settings, dry_run=dry_run):
        echo(line)


def daemon_uninstall(dry_run: DryRun = False) -> None:
    """Stop the services and take their files away; what was recorded stays."""
    from qi_learn.commands.service import uninstall

    for line in uninstall(Paths.default(), dry_run=dry_run):
        echo(line)
