"""A terminal of 80 columns: nothing to be copied is cut, a line goes on below its own text."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest

from qi_learn.cli.output import wrapped
from qi_learn.commands.train import journal_text
from qi_learn.dataset.balance import one_sided
from tests.support.command_line import Terminal
from tests.support.fake_daemon import daemon
from tests.support.recorded_home import deploy, ended_run, record

COLOUR = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture
def past(tmp_path: Path) -> Terminal:
    """A home with a past, whose path is longer than a terminal is wide."""
    root = tmp_path / "-".join(["a home with a long name"] * 3)
    root.mkdir()
    made = Terminal(root)
    record(made.paths, made.root / "project")
    deploy(made.paths)
    ended_run(made.paths)
    return made


def plain(lines: list[str]) -> list[str]:
    return [COLOUR.sub("", line) for line in lines]


def test_a_command_to_copy_stands_whole_on_a_line(past: Terminal) -> None:
    past.paths.database.chmod(0o644)
    (past.root / "project").rmdir()
    lines = plain(past.screen("doctor"))
    wide = shlex.join([str(past.paths.database)])
    gone = shlex.join([str(past.root / "project")])
    assert f"   -> chmod -R go= {wide}" in lines
    assert f"   -> qi-learn init --remove {gone}" in lines


def test_the_list_of_commands_is_cut_nowhere(past: Terminal) -> None:
    for words in ((), ("daemon",), ("bench",)):
        lines = past.screen(*words, "--help")
        assert max(map(len, lines)) <= 80
        assert [line for line in lines[1:] if line.endswith("...")] == []
    told = " ".join(" ".join(past.screen("--help")).split())
    assert "take in an event from a hook. run Run a command unchanged" in told


def test_an_error_is_cut_between_words(past: Terminal) -> None:
    lines = past.screen("rate", "no-such-answer-at-all", "4")
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("  -> `qi-learn log` lists the ids")
    assert lines[2].startswith("     "), "below its own text"


def test_a_refused_cycle_is_told_without_inner_names() -> None:
    line = {"ts": 1.0, "step": "end", "state": "refused", "version": None, "reason": "too few"}
    assert journal_text(line) == "end: refused: too few"
    assert journal_text(line, ("accuracy", "old_work")) == "end: refused by accuracy, old_work"
    assert journal_text({"ts": 1.0, "step": "freeze", "state": "begun"}) == "freeze: begun"
    assert "one session: at least 1 more" in one_sided(["turns-from-01M8H8H4SS8269T4MQN6E73706"])
    assert "one session (s1): at least 1 more" in one_sided(["s1"])


def test_a_line_goes_on_below_its_own_text(past: Terminal) -> None:
    projects = [
        {
            "project": f"/src/project-{n}",
            "mode": "polled",
            "why": ["its file system tells no changes, so every file is looked at now and then"],
            "last_event": time.time() - 120,
        }
        for n in range(2)
    ]
    with daemon(past.paths, condition={"projects": projects}):
        lines = plain(past.screen("status"))
    assert max(map(len, lines)) <= 80
    shown = lines[next(n for n, line in enumerate(lines) if line.startswith("projects")) :][:4]
    assert [line[:12].strip() for line in shown] == ["projects", "", "", ""]
    assert [line[12:].startswith("/src/project-") for line in shown] == [True, False, True, False]


@pytest.mark.parametrize("sign", ["yes", "NO ", "-- "])
def test_a_rule_of_the_gate_goes_on_below_its_own_text(sign: str) -> None:
    lines = wrapped(f"    {sign} accuracy: " + "likeness to the kept code " * 6, 60)
    assert len(lines) > 2
    assert all(line.startswith(" " * 8 + "l") or line[8] != " " for line in lines[1:])
    assert all(line[:8].strip() == "" for line in lines[1:])


def test_a_share_and_a_chance_are_not_cut() -> None:
    for width in range(30, 60):
        lines = wrapped(
            "  at most +0.005 with 95 % confidence (p < 0.001), at 98 % (p = 0.04)", width
        )
        assert " ".join(map(str.strip, lines)).count("95 %") == 1
        assert [line for line in lines if re.search(r"^ *[%<=]|\bp$|[<=]$|\d$", line)] == []


def test_what_is_quoted_has_its_sign_on_each_of_its_lines() -> None:
    lines = wrapped("    |     " + "return a long line of an answer " * 4, 60)
    assert len(lines) > 2
    assert all(line.startswith("    | ") and len(line) <= 60 for line in lines)
