"""Ctrl-C: nothing is printed while modules are loaded; a start or restart says how it stands."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_line import OFFLINE, Terminal, wait_until
from tests.support.fake_daemon import holding_the_lock
from tests.support.hung_daemon import hung

INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == AT:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

AT = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupting())
from qi_learn.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module", ["qi_learn.cli.app", "click", "qi_learn.errors", "qi_learn.report.status"]
)
def test_ctrl_c_while_modules_are_loaded_prints_no_traceback(tmp_path: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, "status"],
        env={"QI_LEARN_HOME": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1


def typed(terminal: Terminal, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qi_learn", *words],
        env=terminal.environment() | {"PYTHONPATH": ":".join(sys.path)},
        cwd=terminal.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_while_the_daemon_starts_says_how_it_stands(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    terminal.paths.ensure().logs.rmdir()
    with holding_the_lock(terminal.paths):
        command = typed(terminal, "daemon", "start")
        wait_until(terminal.paths.logs.exists)
        time.sleep(0.5)
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (130, "")
    assert out == "The daemon goes on starting; `qi-learn daemon status` shows how it stands.\n"


def test_ctrl_c_while_it_is_stopped_for_another_says_so(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    with hung(terminal.paths.ensure(), "deaf"):
        command = typed(terminal, "daemon", "restart")
        assert command.stdout is not None
        assert "is told to end" in command.stdout.readline()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (130, "")
    assert out.startswith("The daemon was told to stop and goes on with that; then nothing runs")
