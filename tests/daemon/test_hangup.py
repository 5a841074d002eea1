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


def in_a_terminal(
    terminal: Terminal, said: Path, *, nohup: bool = False
) -> subprocess.Popen[bytes]:
    """The daemon in the foreground, its loop at work; what it says goes into a file."""
    script = "import os, signal, sys\n"
    # said in either case: the tests themselves may run under nohup
    script += f"signal.signal(signal.SIGHUP, signal.SIG_{'IGN' if nohup else 'DFL'})\n"
    script += "os.execv(sys.executable, [sys.executable, '-m', 'qi_learn', 'daemon'])"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=terminal.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until(lambda: b"ready: " in said.read_bytes() or process.poll() is not None, 120)
    return process


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    process = in_a_terminal(terminal, tmp_path / "said")
    process.send_signal(number)
    process.wait(120)
    said = (tmp_path / "said").read_bytes()
    assert (process.returncode, b"Traceback" in said) == (EXIT_DONE, False)
    assert said.endswith(b"The daemon has stopped.\n")
    assert client.listening(terminal.paths) == {}
    assert not client.locked(terminal.paths)


def test_under_nohup_it_goes_on(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    process = in_a_terminal(terminal, tmp_path / "said", nohup=True)
    try:
        process.send_signal(signal.SIGHUP)
        assert client.call(terminal.paths.socket, {"do": "ping"}) == {"pid": process.pid}
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(120)
