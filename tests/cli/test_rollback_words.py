"""`qi-learn rollback` says what is so: what answers from now on, and what follows later."""

from __future__ import annotations

from pathlib import Path

from qi_learn.errors import EXIT_FAILED
from tests.support.command_line import OFFLINE, Terminal
from tests.support.recorded_home import deploy

LATER = "The alias on the server follows when the daemon next reaches it.\n"


def test_without_a_gateway_nothing_answers_at_once(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    deploy(terminal.paths)
    would = terminal.qi("rollback", "--dry-run").out
    assert would.startswith("qi-agent:latest would go from v1.1.0 back to v1.0.0")
    first, rest = terminal.qi("rollback").out.split("\n", 1)
    assert first.startswith("qi-agent:latest is v1.0.0 again (it was v1.1.0)")
    assert rest == LATER
    said = terminal.qi("rollback")
    assert (said.code, "You can go to: v1.1.0." in said.err) == (EXIT_FAILED, True)
