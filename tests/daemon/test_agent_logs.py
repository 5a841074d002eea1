"""Logs of agents are read one at a time, and a daemon that stops does not wait for one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.capture.agent_hooks import AgentLog
from qi_learn.daemon.agent_logs import AgentLogs
from qi_learn.paths import Paths
from qi_learn.spool import spool_files
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.foreign_logs import ClaudeSession, says


def until_quiet(logs: AgentLogs) -> None:
    def is_quiet() -> bool:
        logs.go_on()
        return not logs.busy

    wait_until(is_quiet)


def test_a_report_while_a_log_is_read_has_it_read_once_more(tmp_path: Path) -> None:
    paths, project = Paths.under(tmp_path / "home").ensure(), tmp_path / "shop"
    project.mkdir()
    add_project(paths, project)
    said = ClaudeSession(tmp_path / "session.jsonl", project, at=time.time() - 60)
    said.asks("Write it.")
    said.answers("msg_1", says("x = 1"))
    log = AgentLog("claude", str(said.file))
    logs = AgentLogs(paths, wait=0.0)
    try:
        logs.note(log)
        wait_until(lambda: bool(spool_files(paths.spool)))
        said.asks("And this.")
        said.answers("msg_2", says("y = 2"))
        logs.note(log)
        logs.go_on()
        until_quiet(logs)
        turns = sum(file.read_bytes().count(b"\n") for file in spool_files(paths.spool))
        assert turns == 2
    finally:
        logs.close()


def test_a_daemon_that_stops_does_not_wait(tmp_path: Path) -> None:
    logs = AgentLogs(Paths.under(tmp_path).ensure(), wait=600.0)
    logs.note(AgentLog("claude", str(tmp_path / "session.jsonl")))
    before = time.monotonic()
    logs.close()
    assert time.monotonic() - before < 4.0


def test_a_log_that_cannot_be_read_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "opencode.db"
    file.write_text("no database")
    logs = AgentLogs(Paths.under(tmp_path / "home").ensure(), wait=0.0)
    logs.note(AgentLog("opencode", str(file)))
    until_quiet(logs)
    logs.close()
    assert "the log of opencode was not read: exit 1" in caplog.text
