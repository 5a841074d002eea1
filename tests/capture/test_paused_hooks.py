"""The shells' hooks and git's are silent in a pause, and only in one."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.rundir.recording_pause import begin_pause, end_pause
from tests.support.repository import ENV, Repository
from tests.support.terminals import HOOKS, SHELLS, Terminal, environment, events, make_home, need


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_in_a_pause_is_not_recorded(shell: str, tmp_path: Path) -> None:
    home = make_home(tmp_path)
    need(shell)
    pause = paths_of(home).pause
    terminal = Terminal(shell, home)
    try:
        for number, until in enumerate((None, 3600.0, 1.0)):
            ends = begin_pause(pause, time.time(), until).until
            if until == 1.0:
                time.sleep(max(0.0, ends - time.time()) + 0.1)
            assert terminal.type(f"pytest 3 in{number}") == "3"
        end_pause(pause, time.time())
        terminal.type("pytest 0 after")
        pause.write_text("{")
        terminal.type("pytest 0 unreadable")
    finally:
        terminal.close()
    said = [event.body["command"].split()[-1] for event in events(home)]
    assert sorted(said) == ["after", "in2"]


def test_gits_hook_is_silent_in_a_pause(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    repo = Repository(tmp_path / "repo")
    env = {**ENV, **environment(home)}
    told = []
    for pause in (None, 3600.0, 0.0):
        if pause == 0.0:
            end_pause(paths_of(home).pause, time.time())
        else:
            begin_pause(paths_of(home).pause, time.time(), pause)
        repo.write("a.py", f"x = {pause}\n")
        repo.commit("x")
        subprocess.run(["sh", HOOKS / "post-commit"], cwd=repo.root, env=env, check=True)
        told.append(len(events(home)))
    assert told == [0, 0, 1]


def paths_of(home: Path) -> Paths:
    return Paths.under(home)
