"""`qi-learn run` in a home that cannot be used: the command runs, its exit code comes back, and one
sentence says why its outcome is not kept.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from qi_learn.commands.run import run
from qi_learn.paths import Paths
from tests.support.command_line import Terminal
from tests.support.odd_homes import STRANGER, as_user, root_only
from tests.support.odd_homes import open_place as open_place
from tests.support.odd_homes import small_disk as small_disk

COMMAND = ("run", "--", "sh", "-c", "echo done; exit 3")
KEPT_OUT = "qi-learn: The outcome of the command could not be written down. "


def told(terminal: Terminal) -> str:
    """What is said besides the command's own output, on one line."""
    said = terminal.process(*COMMAND)
    assert (said.code, said.out) == (3, "done\n")
    assert said.err.startswith(KEPT_OUT)
    assert said.err.count("\n") == 1
    return said.err.removeprefix(KEPT_OUT)


def test_on_a_full_disk(small_disk: Path) -> None:
    terminal = Terminal(small_disk)
    terminal.paths.ensure()
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert "No space left on device. Make room on the disk" in told(terminal)
    full = f"problem     The disk that holds {terminal.paths.state} is full"
    assert full in terminal.process("status").out


def test_on_a_read_only_file_system(small_disk: Path) -> None:
    terminal = Terminal(small_disk)
    terminal.paths.ensure()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    words = f"{terminal.paths.config} is on a read-only file system. Set QI_LEARN_HOME"
    assert told(terminal).startswith(words)


@root_only
def test_in_a_home_of_another_user(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    for directory in (terminal.paths.ensure().spool, terminal.paths.state, terminal.paths.config):
        os.chown(directory, STRANGER, STRANGER)
    words = f"{terminal.paths.config} belongs to another user (uid {STRANGER}, you are uid 0)"
    assert told(terminal).startswith(words)
    assert list(terminal.paths.spool.iterdir()) == []


@root_only
def test_in_a_home_into_which_one_may_not_look(open_place: Path) -> None:
    home = Paths.under(open_place / "home").ensure()
    (open_place / "home").chmod(0o700)
    command = ["/bin/sh", "-c", "exit 3"]
    run(home, command, kind=None, directory=open_place)  # imports what only this user may read
    said = as_user(STRANGER, lambda: run(home, command, kind=None, directory=open_place))
    assert said.startswith("(3, ")
    assert "could not be written down" in said
    assert "Permission denied" in said


def test_where_the_home_is_no_directory(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"QI_LEARN_HOME": "/dev/null/home"})
    assert "/dev/null/home" in told(terminal)


def test_with_a_damaged_list_of_projects(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.paths.ensure().projects.write_text("{")
    assert "list of projects" in told(terminal)


def test_where_there_is_no_home_none_is_made(tmp_path: Path) -> None:
    """It was never set up, or was taken away whole by `uninstall`."""
    terminal = Terminal(tmp_path)
    assert "`qi-learn init`" in told(terminal)
    assert not (tmp_path / "home").exists()
