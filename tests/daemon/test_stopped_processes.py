"""Each process killed, and each stopped: `status` tells what answers, not what a file says."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from qi_learn.daemon import client
from qi_learn.errors import EXIT_NO_DAEMON
from tests.support.command_line import OFFLINE, Said, Terminal, wait_until


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One daemon for all: the two tests before the last leave it as it was."""
    made = Terminal(tmp_path_factory.mktemp("world"), OFFLINE)
    assert made.process("daemon", "start").code == 0
    yield made
    made.process("daemon", "stop")


def told(terminal: Terminal) -> Said:
    said = terminal.qi("status")
    assert said.code == 0, said.err
    return said


def test_a_stopped_gateway_records_nothing(terminal: Terminal) -> None:
    gateway = client.listening(terminal.paths)["gateway"]
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        assert "recording   OFF (the gateway does not answer; it last spoke" in told(terminal).out
        assert terminal.qi("daemon", "status", "--json").json["silent"] == ["gateway"]
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    wait_until(lambda: "recording   ON" in told(terminal).out)


def test_a_stopped_daemon_is_not_called_running(terminal: Terminal) -> None:
    state = client.running(terminal.paths)
    assert state is not None
    os.kill(state.pid, signal.SIGSTOP)
    try:
        said = told(terminal).out
        assert "daemon      does not answer: `qi-learn daemon restart`" in said
        assert "recording   ON" in said, "the gateway goes on"
        status = terminal.qi("daemon", "status")
        assert f"running (pid {state.pid})" in status.out
        assert "it does not answer" in status.out
    finally:
        os.kill(state.pid, signal.SIGCONT)
    wait_until(lambda: "daemon      running" in told(terminal).out)


def test_what_is_killed_is_told_and_comes_back(terminal: Terminal) -> None:
    gateway = client.listening(terminal.paths)["gateway"]
    os.kill(gateway.pid, signal.SIGKILL)
    wait_until(lambda: "recording   OFF" in told(terminal).out or _new(terminal, gateway.pid))
    wait_until(lambda: "recording   ON" in told(terminal).out)
    state = client.running(terminal.paths)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(terminal.paths))
    said = told(terminal).out
    assert "daemon      not running: `qi-learn daemon start`; the gateway serves at" in said
    assert terminal.qi("daemon", "status").code == EXIT_NO_DAEMON


def _new(terminal: Terminal, before: int) -> bool:
    """Whether another gateway is there already."""
    there = client.listening(terminal.paths).get("gateway")
    return there is not None and there.pid != before
