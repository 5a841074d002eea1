"""Logs of agents are read one at a time, and a daemon that stops does not wait for one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qi_learn.capture.agent_hooks import AgentLog
from qi_learn.daemon.agent_logs import AgentLogs
from qi_learn.paths import Paths
from qi_learn.spool import spool_files
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.foreign_logs import ClaudeSession, says


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


@pytest.fixture
def said(home: Paths, tmp_path: Path) -> ClaudeSession:
    """A session with one answer, in a registered project."""
    project = tmp_path / "shop"
    project.mkdir()
    add_project(home, project)
    session = ClaudeSession(tmp_path / "session.jsonl", project, at=time.time() - 60)
    session.asks("Write it.")
    session.answers("msg_1", says("x = 1"))
    return session


@contextmanager
def reading(home: Paths, *, rest: float) -> Iterator[AgentLogs]:
    logs = AgentLogs(home, wait=0.0, rest=rest)
    try:
        yield logs
    finally:
        logs.close()


def until_read(logs: AgentLogs, home: Paths, turns: int) -> None:
    def are_there() -> bool:
        logs.go_on()
        return sum(f.read_bytes().count(b"\n") for f in spool_files(home.spool)) == turns

    wait_until(are_there)


def test_a_report_while_a_log_is_read_has_it_read_once_more(
    home: Paths, said: ClaudeSession
) -> None:
    log = AgentLog("claude", str(said.file))
    with reading(home, rest=0.0) as logs:
        logs.note(log)
        until_read(logs, home, 1)
        said.asks("And this.")
        said.answers("msg_2", says("y = 2"))
        logs.note(log)
        until_read(logs, home, 2)


def test_a_log_is_read_again_only_after_a_rest(home: Paths, said: ClaudeSession) -> None:
    """Each reading begins at the beginning: after every answer that were too often."""
    log = AgentLog("claude", str(said.file))
    with reading(home, rest=4.0) as logs:
        logs.note(log)
        until_read(logs, home, 1)
        read = time.monotonic()
        said.asks("And this.")
        said.answers("msg_2", says("y = 2"))
        for _ in range(3):
            logs.note(log)
        until_read(logs, home, 2)
        assert time.monotonic() - read > 4.0


def test_a_log_is_read_behind_all_other_work(home: Paths, said: ClaudeSession) -> None:
    def niceness() -> set[int]:
        argv = ("ps", "-A", "-ww", "-o", "ppid=,ni=,args=")
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        told = [line.split() for line in lines.splitlines() if str(said.file) in line]
        return {int(nice) for parent, nice, *_ in told if int(parent) == os.getpid()}

    with reading(home, rest=0.0) as logs:
        logs.note(AgentLog("claude", str(said.file)))
        wait_until(lambda: max(niceness(), default=0) >= 10, seconds=10.0)


def test_a_daemon_that_stops_does_not_wait(tmp_path: Path) -> None:
    logs = AgentLogs(Paths.under(tmp_path).ensure(), wait=600.0)
    logs.note(AgentLog("claude", str(tmp_path / "session.jsonl")))
    before = time.monotonic()
    logs.close()
    assert time.monotonic() - before < 4.0


def test_a_log_that_cannot_be_read_is_said(
    home: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "opencode.db"
    file.write_text("no database")
    with reading(home, rest=0.0) as logs:
        logs.note(AgentLog("opencode", str(file)))
        wait_until(lambda: "the log of opencode was not read: exit 1" in caplog.text)
