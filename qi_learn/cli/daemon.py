"""`qi-learn daemon`: in the foreground, in the background through the client, and as a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from qi_learn.cli.listed import EXIT_STOPPED, Listed
from qi_learn.cli.output import dry_run as with_dry_run
from qi_learn.cli.output import echo, open_settings, print_json, with_json
from qi_learn.errors import EXIT_NO_DAEMON
from qi_learn.paths import Paths

if TYPE_CHECKING:
    from qi_learn.daemon.client import Started
    from qi_learn.settings import Settings


@click.group(cls=Listed, invoke_without_command=True)
@click.option(
    "--gateway-service",
    is_flag=True,
    help="Start no gateway: it is a service of its own (see `daemon install`).",
)
@click.pass_context
def daemon(context: click.Context, gateway_service: bool) -> None:
    """Run the daemon in the foreground; `start` and `stop` run it in the background."""
    if context.invoked_subcommand is None:
        from qi_learn.daemon.main_loop import run_daemon

        paths, settings = open_settings()
        run_daemon(paths, settings, service=gateway_service)
        with suppress(OSError):  # the terminal may be closed
            echo("The daemon has stopped.")


@daemon.command("start")
def daemon_start() -> None:
    """Start the daemon in the background and wait until the gateway accepts."""
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client
    from qi_learn.daemon.hung import refuse_hung

    paths, settings = open_settings()
    with _interruptible(paths):
        if manages(paths) and not client.locked(paths):
            ask_systemd("start")
        started = client.start(paths)
    if started.already:
        refuse_hung(paths)
    _say_started(paths, settings, started)


@contextmanager
def _interruptible(paths: Paths, *, stopping: bool = False) -> Iterator[None]:
    """Say at Ctrl-C how the daemon stands, which is a process of its own and goes on."""
    try:
        yield
    except KeyboardInterrupt:
        from qi_learn.commands.connect import interrupted_text

        echo(interrupted_text(paths, stopping=stopping))
        raise Exit(EXIT_STOPPED) from None


def _say_started(paths: Paths, settings: Settings, started: Started) -> None:
    from qi_learn.commands.connect import silence_text, started_text

    echo(started_text(settings, started))
    if silent := silence_text(paths, started.state):
        echo(silent)


@daemon.command("stop")
def daemon_stop() -> None:
    """Stop daemon and gateway; a cycle under way goes on where it was at the next start."""
    from qi_learn.commands.connect import stopped_text
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client

    paths = Paths.default()
    service = manages(paths) and client.locked(paths)
    if service:
        ask_systemd("stop")
    stopped = client.stop(paths, echo)
    echo("The service has stopped." if service else stopped_text(stopped))


@daemon.command("restart")
def daemon_restart() -> None:
    """Stop daemon and gateway and start them again, with the settings as they are now.

    A daemon that hangs is ended by force. On a disk without room nothing is stopped, because
    nothing could be started again.
    """
    from qi_learn.commands.connect import stopped_text
    from qi_learn.commands.service import ask_systemd, manages
    from qi_learn.daemon import client
    from qi_learn.daemon.hung import refuse_restart

    paths, settings = open_settings()
    refuse_restart(paths)
    with _interruptible(paths, stopping=True):
        if manages(paths):
            client.end_if_silent(paths, echo)  # systemd would wait for a minute and a half
            ask_systemd("restart")
        elif (stopped := client.stop(paths, echo)).forced:
            echo(stopped_text(stopped))
    with _interruptible(paths):
        started = client.start(paths)
    _say_started(paths, settings, started)


@daemon.command("status")
@with_json
def daemon_status(as_json: bool) -> None:
    """Say whether daemon, gateway and engine run; exits with 0 if the daemon does, else with 3."""
    from qi_learn.report import daemon_status as report

    found = report.gather(Paths.default())
    if as_json:
        print_json(found)
    else:
        echo(report.as_text(found))
    if not found.running:
        raise Exit(EXIT_NO_DAEMON)


@daemon.command("install")
@with_dry_run
def daemon_install(dry_run: bool) -> None:
    """Have the system start daemon and gateway at every login, and again when one ends."""
    from qi_learn.commands.service import install

    paths, settings = open_settings()
    for line in install(paths, settings, dry_run=dry_run):
        echo(line)


@daemon.command("uninstall")
@with_dry_run
def daemon_uninstall(dry_run: bool) -> None:
    """Stop the services and take their files away; what was recorded stays."""
    from qi_learn.commands.service import uninstall

    for line in uninstall(Paths.default(), dry_run=dry_run):
        echo(line)
