"""A gateway, an engine or a daemon that hangs: every command tells it in the same words."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon import client
from qi_learn.errors import EXIT_NO_DAEMON, EXIT_TRY_AGAIN
from tests.support.command_line import Terminal, wait_until
from tests.support.daemon_process import free_port

ENDS = "`qi-learn daemon restart` ends it and starts another"


def hangs(name: str, pid: int) -> str:
    return f"The {name} is there (pid {pid}) and does not answer: it hangs"


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A daemon with its own gateway and the embedded engine."""
    port = {"QI_LEARN__SERVE__BACKEND": "embedded", "QI_LEARN__GATEWAY__PORT": str(free_port())}
    made = Terminal(tmp_path_factory.mktemp("world"), port)
    (made.root / "project").mkdir()
    assert made.process("daemon", "start").code == 0
    yield made
    made.process("daemon", "stop")


def stop(terminal: Terminal, name: str) -> int:
    """Hold a process; its number."""
    if name == "daemon":
        state = client.running(terminal.paths)
        assert state is not None
        pid = state.pid
    else:
        pid = client.listening(terminal.paths)[name].pid
    os.kill(pid, signal.SIGSTOP)
    return pid


def go_on(terminal: Terminal, pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: terminal.qi("daemon", "status", "--json").json["silent"] == [])


def lines(terminal: Terminal, *words: str) -> list[str]:
    """What `status` and the like say of it, with the words."""
    said = terminal.qi(*words)
    return [line for line in (said.out + said.err).splitlines() if "it hangs" in line]


def doctors(terminal: Terminal) -> list[str]:
    """What is to be mended of what runs, each with its hint."""
    out = terminal.qi("doctor").out
    blocks = out.replace("\n   -> ", " -> ").splitlines()
    return [line for line in blocks if line.startswith("MEND") and "project" not in line]


def test_an_engine_that_hangs(terminal: Terminal) -> None:
    """Neither is the gateway called silent for it, nor the engine gone."""
    pid = stop(terminal, "engine")
    words = hangs("engine", pid)
    try:
        assert lines(terminal, "status") == [f"fault       {words}; {ENDS}"]
        assert terminal.qi("daemon", "status", "--json").json["silent"] == ["engine"]
        assert doctors(terminal) == [f"MEND  {words}. -> {ENDS}."]
        assert lines(terminal, "daemon", "start") == [f"{words}; {ENDS}."]
        for command in (("train", "--now"), ("init", "project")):
            said = terminal.qi(*command)
            assert (said.code, said.err) == (
                EXIT_TRY_AGAIN,
                f"qi-learn: {words}.\n  -> {ENDS}.\n",
            )
    finally:
        go_on(terminal, pid)


def test_a_gateway_that_hangs(terminal: Terminal) -> None:
    pid = stop(terminal, "gateway")
    words = hangs("gateway", pid)
    try:
        assert lines(terminal, "status") == [f"fault       {words}; {ENDS}"]
        assert "recording   OFF (the gateway does not answer" in terminal.qi("status").out
        doctor = terminal.qi("doctor").out
        assert "Recording is on again once the gateway answers." in doctor
        assert "Recording is on while" not in doctor
        assert terminal.qi("daemon", "status", "--json").json["silent"] == ["gateway"]
        assert doctors(terminal) == [f"MEND  {words}. -> {ENDS}."]
        assert lines(terminal, "daemon", "start") == [f"{words}; {ENDS}."]
    finally:
        go_on(terminal, pid)


def test_a_daemon_that_hangs(terminal: Terminal) -> None:
    pid = stop(terminal, "daemon")
    words = hangs("daemon", pid)
    try:
        assert lines(terminal, "status") == [f"fault       {words}; {ENDS}"]
        assert "timed out" not in terminal.qi("status").out
        assert doctors(terminal) == [f"MEND  {words}. -> {ENDS}."]
        for command in (("train", "--cancel"), ("train", "--now"), ("daemon", "start")):
            said = terminal.qi(*command)
            assert (said.code, said.err) == (EXIT_NO_DAEMON, f"qi-learn: {words}.\n  -> {ENDS}.\n")
        assert lines(terminal, "init", "project") == [f"{words}; {ENDS}."]
    finally:
        go_on(terminal, pid)


def test_a_restart_ends_gateway_and_engine_that_hang(terminal: Terminal) -> None:
    """Those that are held are let go, hear that they are to end, and do."""
    pids = [stop(terminal, name) for name in ("gateway", "engine")]
    restart = terminal.process("daemon", "restart")
    assert restart.code == 0, restart.err
    there = client.listening(terminal.paths)
    assert sorted(there) == ["engine", "gateway"]
    assert not {process.pid for process in there.values()} & set(pids)
    assert "is killed" not in (terminal.paths.logs / "daemon.log").read_text(encoding="utf-8")
    assert lines(terminal, "status") == []


def test_all_of_them(terminal: Terminal) -> None:
    """They are asked at the same time, and a restart ends them all."""
    pids = {name: stop(terminal, name) for name in ("engine", "gateway", "daemon")}
    told = [f"fault       {hangs(name, pid)}; {ENDS}" for name, pid in pids.items()]
    assert sorted(lines(terminal, "status")) == sorted(told)
    status = terminal.qi("status").out
    assert "recording   OFF (the gateway does not answer" in status
    assert "down" not in status
    assert terminal.qi("daemon", "status", "--json").json["silent"] == [
        "daemon",
        "gateway",
        "engine",
    ]
    restart = terminal.process("daemon", "restart")
    assert restart.code == 0, restart.err
    assert lines(terminal, "status") == []


def test_an_ollama_that_hangs_is_not_called_gone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        terminal = Terminal(
            tmp_path,
            {
                "QI_LEARN__SERVE__BACKEND": "ollama",
                "QI_LEARN__SERVE__BASE": "base:latest",
                "QI_LEARN__SERVE__OLLAMA": url,
            },
        )
        words = f"Ollama is there at {url} and does not answer: it hangs"
        todo = "end it and start it again with `ollama serve`"
        assert lines(terminal, "status") == [f"fault       {words}; {todo}"]
        (told,) = [line for line in doctors(terminal) if "Ollama" in line]
        assert told == f"MEND  {words}. -> {todo[0].upper()}{todo[1:]}."
