"""One daemon for a home, however many are started, and whatever became of the one before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon import client
from tests.support.command_line import OFFLINE, Terminal, wait_until

MANY = 10


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, OFFLINE)
    yield made
    made.process("daemon", "stop")


def _begin(terminal: Terminal, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qi_learn", "daemon", *words],
        env=terminal.environment(),
        cwd=terminal.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_many_started_at_once_one_stays_and_the_others_say_why(terminal: Terminal) -> None:
    started = [_begin(terminal) for _ in range(MANY)]
    wait_until(lambda: sum(each.poll() is None for each in started) <= 1, 180)
    (stays,) = [each for each in started if each.poll() is None]
    wait_until(lambda: client.running(terminal.paths) is not None, 120)
    there = client.running(terminal.paths)
    assert there is not None
    assert there.pid == stays.pid
    said = {(each.returncode, each.communicate()[1]) for each in started if each is not stays}
    ((code, words),) = said
    assert code not in (0, None)
    assert words.startswith("qi-learn: Another daemon runs for this home.\n")
    assert len(words.splitlines()) == 2  # what happened and what to do; no traceback
    stays.terminate()
    stays.communicate(timeout=90)


def test_the_next_one_takes_the_place_of_one_that_was_killed(terminal: Terminal) -> None:
    for _ in range(2):
        said = terminal.process("daemon", "start")
        assert said.code == 0, said.err
        there = client.running(terminal.paths)
        assert there is not None
        os.kill(there.pid, signal.SIGKILL)
        wait_until(lambda: not client.locked(terminal.paths))
    starts = [_begin(terminal, "start") for _ in range(4)]
    assert [(each.wait(180), each.communicate()[1]) for each in starts] == [(0, "")] * 4
    there = client.running(terminal.paths)
    assert there is not None
    assert terminal.process("daemon", "start").code == 0
    assert client.running(terminal.paths) == there
