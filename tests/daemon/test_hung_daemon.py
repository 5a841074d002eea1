"""A daemon that hangs: every command says so, and `stop` and `restart` end it; nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qi_learn.daemon import client, silent
from qi_learn.errors import EXIT_NO_DAEMON
from qi_learn.paths import Paths
from qi_learn.store.database import open_store
from tests.support.command_line import OFFLINE, Terminal, wait_until
from tests.support.fake_daemon import STATE

HUNG = """
import json, os, signal, sys, time
from pathlib import Path
from qi_learn.daemon.control import Control
from qi_learn.daemon.lock import take_lock
from qi_learn.outside.listening import birth
from qi_learn.paths import Paths
paths, kinds = Paths.under(Path(sys.argv[1])), sys.argv[3:]
lock = take_lock(paths)
if "deaf" in kinds:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "answers" in kinds:
    door = Control(paths.socket, lambda _: {"stopping": True})
own = {"pid": os.getpid(), "birth": birth(os.getpid())}
paths.daemon_state.write_text(json.dumps(json.loads(sys.argv[2]) | own))
os.utime(paths.daemon_state, (0, 0))
print("ready", flush=True)
time.sleep(1000)
"""


@contextmanager
def hung(paths: Paths, *kinds: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is the daemon and does nothing more."""
    words = [sys.executable, "-c", HUNG, str(paths.state.parent), json.dumps(STATE), *kinds]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("kinds", "end"),
    [
        ((), "ended"),
        (("deaf",), "killed"),
        (("answers",), "ended"),
        (("answers", "deaf"), "killed"),
    ],
)
def test_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], end: str
) -> None:
    """Without a door, or with one that answers before a loop that has not come round for long."""
    monkeypatch.setattr(silent, "FORCE_SECONDS", 0.3)
    paths = Paths.under(tmp_path / "home").ensure()
    told: list[str] = []
    with hung(paths, *kinds) as process:
        stopped = client.stop(paths, told.append)
        assert (stopped.daemon, stopped.forced) == (True, end)
        process.wait(60)
    assert [f"(pid {process.pid}) hangs" in words for words in told] == [True]
    assert not client.locked(paths)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, OFFLINE)
    assert made.process("daemon", "start").code == 0
    yield made
    made.process("daemon", "stop")


def tell(terminal: Terminal) -> str:
    """Have an event accepted; its id."""
    event = json.dumps({"kind": "hook", "source": "an-editor", "body": {"saved": "a.py"}})
    said = terminal.process("log", "--event", "-", "--json", given=event)
    return str(said.json["id"])


def taken_in(terminal: Terminal) -> set[str]:
    with open_store(terminal.paths.database, readonly=True) as store:
        return {str(row["id"]) for row in store.rows("SELECT id FROM events")}


def test_a_restart_ends_one_that_is_held_and_nothing_is_lost(terminal: Terminal) -> None:
    before = client.running(terminal.paths)
    assert before is not None
    accepted = {tell(terminal)}
    os.kill(before.pid, signal.SIGSTOP)
    accepted.add(tell(terminal))
    assert "does not answer: `qi-learn daemon restart`" in terminal.process("status").out
    start = terminal.process("daemon", "start")
    assert (start.code, f"(pid {before.pid}) and does not answer" in start.err) == (
        EXIT_NO_DAEMON,
        True,
    )
    said = terminal.process("daemon", "restart")
    assert said.code == 0, said.err
    assert f"The daemon (pid {before.pid}) hangs: it is told to end" in said.out
    assert "nothing that was recorded is lost" in said.out
    after = client.running(terminal.paths)
    assert after is not None
    assert after.pid != before.pid
    wait_until(lambda: accepted <= taken_in(terminal))
