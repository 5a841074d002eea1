"""Ctrl-C while a command is still loading its modules: nothing is printed, and the code says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
