"""Commands typed in a directory that was deleted meanwhile: `run` runs, others say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn.errors import EXIT_FAILED
from qi_learn.paths import Paths
from qi_learn.store.database import open_store
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from tests.support.command_line import OFFLINE, Terminal
from tests.support.recorded_home import a_turn, spool_events
from tests.support.redacted import as_redacted

GONE = """
import os, sys
os.chdir(sys.argv.pop(1))
os.rmdir(os.getcwd())
from qi_learn.__main__ import main
main()
"""


def typed(terminal: Terminal, *words: str) -> subprocess.CompletedProcess[str]:
    """What a command says in a directory `gone` of the project, which is deleted first."""
    gone = terminal.root / "project" / "gone"
    gone.mkdir(parents=True)
    return subprocess.run(
        [sys.executable, "-c", GONE, str(gone), *words],
        env=terminal.environment() | {"PYTHONPATH": ":".join(sys.path), "PWD": str(gone)},
        cwd=terminal.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def recorded(paths: Paths) -> None:
    with open_store(paths.ensure().database) as store:
        save_turn(store, as_redacted(a_turn("01M8GSZE0V00X38Y19461HZM3N", at=100.0)))


def test_a_command_is_run_there_and_recorded(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    (tmp_path / "project").mkdir()
    add_project(terminal.paths.ensure(), tmp_path / "project")
    done = typed(terminal, "run", "--", "sh", "-c", "echo done; exit 3")
    assert (done.returncode, done.stdout) == (3, "done\n")
    assert "qi-learn" not in done.stderr, "what the shell says of such a place is its own"
    (event,) = spool_events(terminal.paths)
    assert (event["project"], event["body"]["exit_code"]) == (str(tmp_path / "project"), 3)


@pytest.mark.parametrize(
    "words",
    [
        ("rate", "5"),
        ("explain", "last"),
        ("forget", "last"),
        ("log", "--project", "."),
        ("forget", "--project", ".", "--dry-run"),
        ("init",),
        ("init", "--remove"),
    ],
)
def test_what_goes_by_the_directory_says_that_it_is_gone(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    recorded(terminal.paths)
    done = typed(terminal, *words)
    assert (done.returncode, done.stdout) == (EXIT_FAILED, "")
    assert done.stderr == (
        "qi-learn: The directory in which you are was deleted.\n"
        "  -> Go to one that is there: `cd ~`.\n"
    )


@pytest.mark.parametrize("words", [("log",), ("explain", "01M8GSZE")])
def test_what_does_not_go_by_it_goes_on(tmp_path: Path, words: tuple[str, ...]) -> None:
    terminal = Terminal(tmp_path)
    recorded(terminal.paths)
    done = typed(terminal, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "01M8GSZE" in done.stdout
