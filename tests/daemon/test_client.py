"""The daemon in the background: started, found and stopped; and what stands in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon import client
from qi_learn.daemon.client import DaemonState
from qi_learn.errors import (
    EXIT_FAILED,
    EXIT_NO_DAEMON,
    EXIT_TRY_AGAIN,
    EXIT_USAGE,
    Busy,
    DaemonError,
)
from qi_learn.paths import Paths
from qi_learn.spool import spool_files
from tests.support.command_line import OFFLINE, Said, Terminal, wait_until
from tests.support.fake_daemon import STATE, holding_the_lock

GONE = 2**22 - 1
"""No process has it: Linux gives pids below 2**22, and this one only after all the others."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


def test_without_a_lock_there_is_no_daemon(paths: Paths) -> None:
    assert not client.locked(paths)
    paths.daemon_state.write_text(json.dumps(STATE))
    assert client.running(paths) is None
    paths.daemon_lock.touch()
    assert not client.locked(paths)
    assert client.running(paths) is None
    assert client.stop(paths) == client.Stopped(daemon=False)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        json.dumps(STATE | {"more": 1}),
        json.dumps(STATE | {"pid": GONE}),
        json.dumps(STATE | {"pid": "x"}),
        "\x00\xff",
    ],
)
def test_a_stale_or_damaged_file_is_no_daemon_that_accepts(paths: Paths, said: str | None) -> None:
    if said is not None:
        paths.daemon_state.write_bytes(said.encode("latin-1"))
    with holding_the_lock(paths):
        assert client.locked(paths)
        assert client.running(paths) is None


def test_the_daemon_that_runs_says_where(paths: Paths) -> None:
    paths.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(paths):
        assert client.running(paths) == DaemonState(
            os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2", True, 1.5
        )
        started = client.start(paths)
        assert (started.state.pid, started.already) == (os.getpid(), True)


def test_learning_in_the_foreground_is_no_gateway(paths: Paths) -> None:
    paths.daemon_state.write_text(json.dumps(STATE | {"gateway": ""}))
    with holding_the_lock(paths), pytest.raises(Busy, match="train --now") as caught:
        client.start(paths)
    assert caught.value.exit_code == EXIT_TRY_AGAIN


def test_one_that_does_not_stop(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STOP_SECONDS", 0.2)
    paths.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(paths), pytest.raises(DaemonError, match="did not stop") as caught:
        client.stop(paths)
    assert f"kill {os.getpid()}" in caught.value.hint


# --- the whole of it, from the terminal -----------------------------------------------------------


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal whose home is given relative to its own directory, which is not the daemon's."""
    made = Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": "home"})
    yield made
    client.stop(made.paths)


def test_start_use_kill_start_and_stop(terminal: Terminal) -> None:
    said: list[Said] = []
    starts = [
        threading.Thread(target=lambda: said.append(terminal.process("daemon", "start")))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    first = client.running(terminal.paths)
    assert first is not None, said
    assert [(s.code, f"pid {first.pid}" in s.out, first.gateway in s.out) for s in said] == [
        (0, True, True)
    ] * 2

    status = terminal.process("status", "--json").json
    assert (status["daemon"], status["recording"], status["gateway"], status["engine"]) == (
        True,
        True,
        first.gateway,
        False,
    )
    assert "counts once" not in terminal.process("rate", "4").out
    second = terminal.process("daemon")
    assert (second.code, "Another daemon runs" in second.err) == (EXIT_NO_DAEMON, True)

    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(terminal.paths))
    assert client.running(terminal.paths) is None
    assert terminal.process("daemon", "start").code == 0
    again = client.running(terminal.paths)
    assert again is not None
    assert again.pid != first.pid

    stopped = terminal.process("daemon", "stop")
    assert (stopped.code, stopped.out) == (0, "The daemon has stopped.\n")
    assert not client.locked(terminal.paths)
    assert not terminal.paths.socket.exists()
    assert spool_files(terminal.paths.spool) == []


def test_wrong_settings_are_named_and_nothing_is_started(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"QI_LEARN__GATEWAY__PORT": "banana"})
    said = terminal.process("daemon", "start")
    assert said.code == EXIT_USAGE
    assert "gateway.port = 'banana' is not a whole number" in said.err
    assert "qi-learn config" in said.err
    assert not terminal.paths.daemon_lock.exists()


def test_a_damaged_database_stops_the_start_and_is_named(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    terminal.paths.ensure().database.write_bytes(b"this is no database" * 1000)
    (terminal.paths.logs / "daemon.log").write_text("qi-learn: an older complaint\n")
    said = terminal.process("daemon", "start")
    assert said.code == EXIT_FAILED
    assert "is damaged" in said.err
    assert "Nothing was deleted" in said.err
    assert "an older complaint" not in said.err
    assert terminal.paths.database.read_bytes() == b"this is no database" * 1000


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        terminal = Terminal(tmp_path, OFFLINE | {"QI_LEARN__GATEWAY__PORT": str(port)})
        said = terminal.process("daemon", "start")
        assert said.code != 0
        assert str(port) in said.err
    assert not client.locked(terminal.paths)


def test_ctrl_c_ends_the_daemon_in_the_foreground(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    with subprocess.Popen(
        [sys.executable, "-m", "qi_learn", "daemon"],
        env=terminal.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        said = []
        for line in daemon.stderr:
            said.append(line)
            if "ready: gateway http" in line:
                daemon.send_signal(signal.SIGINT)
    assert (daemon.returncode, "Traceback" in "".join(said)) == (0, False), said
    assert not client.locked(terminal.paths)
