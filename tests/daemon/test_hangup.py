"""A terminal that is closed ends the daemon that runs in it, as cleanly as `daemon stop` does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn.daemon import client
from qi_learn.errors import EXIT_DONE
from tests.support.command_line import OFFLINE, Terminal, wait_until


def in_a_terminal(terminal: Terminal, *, nohup: bool = False) -> subprocess.Popen[bytes]:
    """The daemon in the foreground, up."""
    script = "import os, signal, sys\n"
    script += "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" if nohup else ""
    script += "os.execv(sys.executable, [sys.executable, '-m', 'qi_learn', 'daemon'])"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=terminal.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    wait_until(lambda: _is_ready(terminal) or process.poll() is not None, 120)
    return process


def _is_ready(terminal: Terminal) -> bool:
    """Whether its loop runs: while it starts, a signal ends it without a word."""
    log = terminal.paths.logs / "daemon.log"
    return log.exists() and "ready: " in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    process = in_a_terminal(terminal)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, b"Traceback" in said) == (EXIT_DONE, False)
    assert said.endswith(b"The daemon has stopped.\n")
    assert client.listening(terminal.paths) == {}
    assert not client.locked(terminal.paths)


def test_under_nohup_it_goes_on(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    process = in_a_terminal(terminal, nohup=True)
    try:
        process.send_signal(signal.SIGHUP)
        assert client.call(terminal.paths.socket, {"do": "ping"}) == {"pid": process.pid}
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=120)
