"""The terminal face: which commands there are, in the order in which `--help` lists them.

The functions only parse, call and print; what is heavy is imported inside the command that needs
it, so that `--help` and `rate` stay quick.

Exit codes: 0 done, 1 failed, 2 usage, 3 daemon needed and not running, 4 refused by gate or
thresholds, 75 try again later.
"""

from __future__ import annotations

from typing import Annotated

import typer

from qi_learn import __version__
from qi_learn.cli.bench import bench_learning, demo
from qi_learn.cli.daemon import (
    daemon,
    daemon_install,
    daemon_restart,
    daemon_start,
    daemon_status,
    daemon_stop,
    daemon_uninstall,
)
from qi_learn.cli.evidence import explain, log, rate, run
from qi_learn.cli.learning import rollback, train, versions
from qi_learn.cli.redact import redact
from qi_learn.cli.setup import config, doctor, init, status

app = typer.Typer(
    name="qi-learn",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
daemon_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Run the daemon in the foreground; `start` and `stop` run it in the background.",
)
bench_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure what qi-learn does, with its own code.",
)

UNCHANGED = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
"""What stands after `run --` is the command's own, options and all."""


def _show_version(show: bool) -> None:
    if show:
        typer.echo(f"qi-learn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A local model that learns from the way you work, and proves it before it ships."""


app.command()(init)
app.command()(config)
app.command()(doctor)
app.command()(status)
app.command()(rate)
app.command()(log)
app.command(context_settings=UNCHANGED)(run)
app.command()(explain)
app.command()(train)
app.command()(versions)
app.command()(rollback)
app.command()(redact)
app.command()(demo)

daemon_app.callback()(daemon)
daemon_app.command("start")(daemon_start)
daemon_app.command("stop")(daemon_stop)
daemon_app.command("restart")(daemon_restart)
daemon_app.command("status")(daemon_status)
daemon_app.command("install")(daemon_install)
daemon_app.command("uninstall")(daemon_uninstall)
app.add_typer(daemon_app, name="daemon")

bench_app.command("learning")(bench_learning)
app.add_typer(bench_app, name="bench")
