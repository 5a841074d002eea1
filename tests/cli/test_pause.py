"""`pause` and `resume` at the terminal, with nothing running."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from pathlib import Path

import pytest

from qi_learn.errors import EXIT_USAGE
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.rundir.recording_pause import begin_pause, read_pauses
from qi_learn.spool import read_from, spool_files
from tests.support.command_line import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_pause_is_told_with_its_end_and_ended(terminal: Terminal) -> None:
    begun = time.time()
    told = terminal.qi("pause", "30m").out
    assert re.match(r"Paused until (\d{4}-\d\d-\d\d )?\d\d:\d\d\. ", told)
    (pause,) = read_pauses(terminal.paths.pause)
    assert 1799 <= pause.until - begun <= 1999
    said = terminal.qi("status", "--json").json
    assert (said["recording"], said["paused"][:6]) == (False, "until ")
    assert "recording   OFF (paused until " in terminal.qi("status").out
    assert terminal.qi("pause").out.startswith("Paused until `qi-learn resume`.")
    assert json.loads(terminal.paths.pause.read_text())["until"] is None
    assert terminal.qi("resume").out == "Recording goes on.\n"
    assert terminal.qi("resume").out == "It was not paused.\n"
    assert terminal.qi("status", "--json").json["paused"] == ""


def test_a_clock_that_was_set_back_ends_no_pause(terminal: Terminal) -> None:
    terminal.paths.ensure()
    begin_pause(terminal.paths.pause, time.time() + 3600, 1800)
    assert terminal.qi("status", "--json").json["paused"].startswith("until ")
    assert terminal.qi("resume").out == "Recording goes on.\n"
    assert terminal.qi("status", "--json").json["paused"] == ""


def test_a_clock_that_was_set_forward_ends_no_pause(terminal: Terminal) -> None:
    """As after `pause 30m` by a clock that was an hour behind."""
    terminal.paths.ensure()
    if (mark := boot_clock()) is None:
        pytest.skip("the system has no name for its start")
    begin_pause(terminal.paths.pause, time.time() - 3600, 1800, mark)
    assert terminal.qi("status", "--json").json["paused"].startswith("until ")
    assert "Recording is paused until" in terminal.qi("run", "--", "true").err
    assert terminal.qi("resume").out == "Recording goes on.\n"
    assert terminal.qi("status", "--json").json["paused"] == ""


@pytest.mark.parametrize("span", ["", "abc", "0m", "-3m", "30 m", "9999d", "1h x"])
def test_a_length_that_is_none_is_refused(terminal: Terminal, span: str) -> None:
    said = terminal.qi("pause", "--", span)
    assert said.code == EXIT_USAGE
    assert "length" in said.err
    assert not terminal.paths.pause.exists()


def test_a_pause_of_no_length_is_told_as_that(terminal: Terminal) -> None:
    for span, why in (("0m", "longer than nothing"), ("400d", "at most a year")):
        assert why in terminal.qi("pause", span).err


def test_a_command_runs_in_a_pause_and_its_outcome_is_not_kept(terminal: Terminal) -> None:
    terminal.qi("pause", "1h")
    said = terminal.qi("run", "--kind", "test", "--", "true")
    assert said.code == 0
    assert "Recording is paused until" in said.err
    lines = [line for file in spool_files(terminal.paths.spool) for line in read_from(file)]
    assert lines == []


@pytest.mark.parametrize("paused_before", [True, False])
def test_a_command_of_which_a_part_was_in_a_pause_is_not_kept(
    terminal: Terminal, paused_before: bool
) -> None:
    """The command itself ends the pause, or has a whole one in it."""
    if paused_before:
        terminal.qi("pause")
    steps = ["resume"] if paused_before else ["pause", "resume"]
    qi = [sys.executable, "-m", "qi_learn"]
    line = " && ".join(shlex.join([*qi, step]) for step in steps)
    said = terminal.process("run", "--kind", "test", "--", "sh", "-c", line)
    assert (said.code, said.out.splitlines()[-1]) == (0, "Recording goes on.")
    assert "Recording was paused while it ran: the outcome was not written down." in said.err
    assert terminal.process("run", "--kind", "test", "--", "true").err == ""
    lines = [line for file in spool_files(terminal.paths.spool) for line in read_from(file)]
    assert [line.event and line.event.body["command"] for line in lines] == ["true"]
