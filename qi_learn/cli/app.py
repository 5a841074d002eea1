"""The terminal face: which commands there are, in the order in which `--help` lists them.

The functions only parse, call and print; what a command needs is imported inside it, so that
`--help` and `rate` stay quick (decision 0035). For the same reason it is click that parses.

Exit codes: 0 done, 1 failed, 2 usage, 3 daemon needed and not running, 4 refused by gate or
thresholds, 75 try again later, 130 Ctrl-C.
"""

from __future__ import annotations

import click

from qi_learn import __version__
from qi_learn.cli.bench import bench, demo
from qi_learn.cli.completion import install_completion, show_completion
from qi_learn.cli.daemon import daemon
from qi_learn.cli.evidence import explain, log, mark, rate, run
from qi_learn.cli.hooks import hooks
from qi_learn.cli.importing import import_
from qi_learn.cli.keeping import backup, forget, restore
from qi_learn.cli.launching import launch
from qi_learn.cli.learning import bootstrap, rollback, train, versions
from qi_learn.cli.leaving import export, uninstall
from qi_learn.cli.listed import Listed
from qi_learn.cli.pause import pause, resume
from qi_learn.cli.redact import redact
from qi_learn.cli.setup import config, doctor, init, status


@click.group(
    cls=Listed,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(
    __version__, message="qi-learn %(version)s", help="Print the version and leave."
)
@install_completion
@show_completion
def app() -> None:
    """A local model that learns from the way you work, and proves it before it ships."""


for command in (
    *(init, config, doctor, status),
    *(rate, mark, log, run, explain, import_, hooks, launch),
    *(pause, resume),
    *(train, bootstrap, versions, rollback),
    *(forget, backup, restore),
    *(redact, demo, daemon, export, uninstall, bench),
):
    app.add_command(command)
