"""A demonstration that is told to stop leaves nothing behind: no process, no directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Terminal, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_the_middle_it_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "tmp").mkdir()
    env = Terminal(tmp_path).environment() | {"TMPDIR": str(tmp_path / "tmp")}
    with (tmp_path / "said").open("wb") as said:
        demo = subprocess.Popen(
            [sys.executable, "-m", "qi_learn", "demo"],
            env=env,
            cwd=tmp_path,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: any((tmp_path / "tmp").glob("qi-learn-demo-*/state/daemon.json")), 120)
        (state,) = (tmp_path / "tmp").glob("qi-learn-demo-*/state/daemon.json")
        daemon = json.loads(state.read_text())["pid"]
        demo.send_signal(number)
        assert demo.wait(120) != 0
    wait_until(lambda: not _alive(daemon))
    assert list((tmp_path / "tmp").glob("qi-learn-demo-*")) == []
    assert b"Traceback" not in (tmp_path / "said").read_bytes()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
