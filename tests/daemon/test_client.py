"""The daemon in the background: started, found and stopped; and what stands in the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
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
from tests.support.daemon_process import free_port
from tests.support.fake_daemon import STATE, holding_the_lock
from tests.support.fake_ollama import a_gateway

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
    assert client.stop(paths) == client.StopResult(daemon=False)


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


def test_a_killed_daemon_ends_no_gateway_and_the_next_one_finds_it(terminal: Terminal) -> None:
    paths = terminal.paths
    assert terminal.process("daemon", "start").code == 0
    first = client.running(paths)
    assert first is not None
    gateway = client.listening(paths)["gateway"]
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(paths))

    said = terminal.process("daemon", "status")
    assert (said.code, "it goes on without the daemon" in said.out) == (EXIT_NO_DAEMON, True)
    assert terminal.process("daemon", "status", "--json").json["gateway"] == {
        "pid": gateway.pid,
        "url": gateway.url,
    }
    found = terminal.process("status", "--json").json
    assert (found["recording"], found["daemon"], found["gateway"]) == (True, False, gateway.url)
    with httpx.Client(base_url=gateway.url) as http:  # the upstream is not there, the gateway is
        asked = http.post("/api/chat", json={"model": "m", "messages": []})
    assert (asked.status_code, "does not answer at" in asked.text) == (502, True)

    started = terminal.process("daemon", "start").out
    assert "The daemon runs" in started
    assert "Ollama does not answer at http://127.0.0.1:9: start it with `ollama serve`" in started
    assert client.listening(paths)["gateway"] == gateway
    running = terminal.process("daemon", "status")
    assert (running.code, f"gateway   {gateway.url}" in running.out) == (0, True)
    again = terminal.process("daemon", "start")
    assert "The daemon was running already (pid" in again.out
    assert terminal.process("daemon", "stop").code == 0
    assert client.listening(paths) == {}


def test_stop_ends_a_gateway_whose_daemon_is_gone(terminal: Terminal) -> None:
    assert terminal.process("daemon", "start").code == 0
    state = client.running(terminal.paths)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(terminal.paths))
    said = terminal.process("daemon", "stop")
    assert said.out == "The daemon was not running; its gateway has stopped.\n"
    assert client.listening(terminal.paths) == {}
    assert terminal.process("daemon", "stop").out == "The daemon was not running.\n"


def test_a_restart_brings_the_settings_as_they_are_now(terminal: Terminal) -> None:
    paths = terminal.paths.ensure()
    assert terminal.process("daemon", "start").code == 0
    before = client.listening(paths)["gateway"]
    paths.settings_file.write_text("[train]\nrank = 16\n[idle]\nlongest_hold = 5\n")
    (problem,) = [p for p in terminal.process("status", "--json").json["problems"] if "rank" in p]
    assert "idle.longest_hold, train.rank" in problem
    assert terminal.process("daemon", "restart").code == 0
    assert client.listening(paths)["gateway"].pid != before.pid
    problems = terminal.process("status", "--json").json["problems"]
    assert [p for p in problems if "rank" in p] == []


def test_recording_is_switched_while_the_gateway_runs(terminal: Terminal) -> None:
    paths = terminal.paths.ensure()
    assert terminal.process("daemon", "start").code == 0
    for on, reason in ((False, "gateway.record is false"), (True, "")):
        paths.settings_file.write_text(f"[gateway]\nrecord = {str(on).lower()}\n")
        found = terminal.process("status", "--json").json
        assert (found["recording"], found["recording_reason"]) == (on, reason)
        assert [p for p in found["problems"] if "restart" in p] == []


def test_a_gateway_whose_home_is_gone_leaves(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    assert terminal.process("daemon", "start").code == 0
    state, gateway = client.running(terminal.paths), client.listening(terminal.paths)["gateway"]
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(terminal.paths))
    shutil.rmtree(tmp_path / "home")
    wait_until(lambda: not gateway.alive)


def test_two_services_as_systemd_starts_them(tmp_path: Path) -> None:
    """The daemon brings no gateway; the gateway finds its server in the settings."""
    terminal = Terminal(tmp_path, OFFLINE | {"QI_LEARN__GATEWAY__PORT": str(free_port())})
    paths = terminal.paths
    env = terminal.environment() | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    ready = str(paths.gateway_ready)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        (tmp_path / "said").open("wb") as said,
        contextlib.ExitStack() as services,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)

        def service(*words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-P", "-m", *words]
            process = services.enter_context(subprocess.Popen(command, env=env, stderr=said))
            services.callback(process.kill)
            while systemd.recv(100) != b"READY=1":
                pass
            return process

        daemon = service("qi_learn", "daemon", "--gateway-service")
        assert client.listening(paths) == {}
        assert "OFF" in terminal.process("status").out.splitlines()[0]
        gateway = service("qi_learn.gateway", "--ready", ready)
        found = terminal.process("status", "--json").json
        assert (found["recording"], found["daemon"]) == (True, True)
        assert client.listening(paths)["gateway"].pid == gateway.pid
        while systemd.recv(100) != b"WATCHDOG=1":
            pass
        assert terminal.process("daemon", "stop").code == 0
        assert (daemon.wait(60), gateway.wait(60)) == (0, 0)


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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what has a port")
def test_a_port_that_another_home_has_is_told_as_that(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "home"
    with a_gateway("http://127.0.0.1:9", other) as gateway:
        terminal = Terminal(tmp_path, OFFLINE | {"QI_LEARN__GATEWAY__PORT": str(gateway.port)})
        said = terminal.process("daemon", "start")
        assert f"qi-learn for the home {other} (pid {gateway.process.pid}) has" in said.err


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


def test_a_taken_port_is_named_with_what_has_it(terminal: Terminal) -> None:
    (terminal.paths.ensure().logs / "gateway.log").write_text("ERROR __main__: an old fault\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        terminal.env["QI_LEARN__GATEWAY__PORT"] = str(port)
        said = terminal.process("daemon", "start")
        assert said.code == EXIT_NO_DAEMON
        assert f"cannot listen on 127.0.0.1:{port}: " in said.err
        assert f"(pid {os.getpid()}) has that port" in said.err
        assert "config.toml" in said.err
        assert "Errno" not in said.err
        assert "old fault" not in said.err
        assert f"(pid {os.getpid()}) has that port" in terminal.process("status").out
