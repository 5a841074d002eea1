"""Every command in a home that cannot be used: one clear sentence with what to do, and no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from qi_learn.paths import Paths
from qi_learn.redact import load_redactor
from qi_learn.store.database import open_store
from tests.support.command_line import OFFLINE, Terminal
from tests.support.odd_homes import STRANGER, as_user, on_network, root_only
from tests.support.odd_homes import open_place as open_place
from tests.support.odd_homes import small_disk as small_disk

OUTCOME = "The outcome of the command could not be written down."
COMMANDS = {
    "status": ("status",),
    "doctor": ("doctor",),
    "run": ("run", "--", "sh", "-c", "exit 3"),
    "log": ("log",),
    "log -q": ("log", "-q", "word"),
    "log --event": ("log", "--event", "-"),
    "explain": ("explain", "last"),
    "rate": ("rate", "5"),
    "versions": ("versions",),
    "forget": ("forget", "last", "--dry-run"),
    "redact": ("redact", "--again"),
    "pause": ("pause", "30m"),
    "resume": ("resume",),
    "init": ("init", "."),
    "train": ("train", "--now"),
    "daemon start": ("daemon", "start"),
}
EVENT = '{"kind": "hook", "source": "an-editor", "body": {}}'


def a_file(home: Path) -> tuple[str, str]:
    home.write_text("not a directory")
    return str(home), "Not a directory"


def a_link_to_nothing(home: Path) -> tuple[str, str]:
    home.symlink_to(home.parent / "nothing")
    return str(home), f"{home} is a link that leads nowhere"


def a_link_to_itself(home: Path) -> tuple[str, str]:
    home.symlink_to(home)
    return str(home), f"{home} is a link that leads nowhere"


def another_users(home: Path) -> tuple[str, str]:
    paths = Terminal(home.parent).paths.ensure()
    for directory in (paths.config, paths.data, paths.state, paths.runtime, paths.spool):
        os.chown(directory, STRANGER, STRANGER)
    return str(home), f"belongs to another user (uid {STRANGER}, you are uid 0)"


UNUSABLE: dict[str, Callable[[Path], tuple[str, str]]] = {
    "kernel": lambda home: ("/proc/foo", "/proc is the kernel's own"),
    "device": lambda home: ("/dev/null", "Not a directory"),
    "below a device": lambda home: ("/dev/null/home", "Not a directory"),
    "file": a_file,
    "link to nothing": a_link_to_nothing,
    "link to itself": a_link_to_itself,
}
"""By kind: what makes such a home, with its name and what is said of it."""
IMPOSSIBLE = {
    "long": ("/tmp/" + "a/" * 2048, "is too long for a path (4101 letters)"),
    "long name": ("/tmp/" + "b" * 300, "is too long for a path (305 letters)"),
    "blank": (" \t ", "has a line break or another control character in it"),
    "blanks": ("  ", "is blank"),
    "root": ("/", "is / itself, the root of every file"),
    "root by another name": ("/tmp/../", "is / itself, the root of every file"),
    "line break": ("/tmp/a\nb", "has a line break or another control character in it"),
    "no such user": ("~nobody-is-called-so/qi", "begins with the name of a user who is not known"),
}
"""Names that no home can have."""

FULL = {
    **dict.fromkeys(
        ("status", "doctor", "init", "train", "pause", "redact"),
        "is full: what finds no room is lost.",
    ),
    "daemon start": "The daemon did not start. The disk that holds",
    "run": "There is no home",
    "log --event": "No space left on device",
}
"""What is said on a full disk by what would write there, or tells how things stand."""
MAKING = ("log --event", "daemon start")
"""What makes a home before it finds out, to write down what comes."""


def check(terminal: Terminal, command: str, words: str) -> None:
    """Whether the command says what is wrong with the home, in its own way."""
    said = terminal.qi(*COMMANDS[command], given=EVENT)
    if command == "run":
        assert (said.code, said.out) == (3, "")
        told = said.err.removeprefix(f"qi-learn: {OUTCOME} ")
        assert (told == said.err, told.count("\n")) == (False, 1), said
    elif command == "status":
        assert (said.code, said.err) == (EXIT_DONE, "")
        told = "\n".join(line for line in said.out.split("\n") if line.startswith("problem "))
        assert told.count("\n") == 0, told
    elif command == "doctor":
        assert (said.code, said.err) == (EXIT_FAILED, "")
        told = said.out
    else:
        assert (said.code, said.out) == (EXIT_FAILED, ""), said
        told = said.err
        assert (told.count("\n"), told[:10]) == (2, "qi-learn: "), told
    assert words in told
    assert "Set QI_LEARN_HOME to a directory" in told


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_home_that_cannot_be_there(tmp_path: Path, kind: str, command: str) -> None:
    home, words = UNUSABLE[kind](tmp_path / "home")
    check(Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": home}), command, words)


@root_only
@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_of_another_user(tmp_path: Path, command: str) -> None:
    home, words = another_users(tmp_path / "home")
    check(Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": home}), command, words)


@root_only
@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_in_a_directory_of_another_user(tmp_path: Path, command: str) -> None:
    """Root may write there, and nothing is made in it all the same."""
    home = tmp_path / "theirs"
    home.mkdir(mode=0o700)
    os.chown(home, STRANGER, STRANGER)
    words = f"{home} belongs to another user (uid {STRANGER}, you are uid 0)"
    for named in (home, home / "deeper" / "home"):
        terminal = Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": str(named)})
        check(terminal, command, words)
        assert list(home.iterdir()) == [], "nothing was made"


@root_only
def test_a_home_of_ones_own_in_a_directory_of_root(open_place: Path) -> None:
    """As in /tmp, /home or a volume that an administrator made."""
    open_place.chmod(0o1777)
    home = open_place / "home"
    told = as_user(STRANGER, lambda: Paths.under(home).ensure().data)
    assert told == str(home / "data")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_home(small_disk: Path, command: str) -> None:
    """Not one byte of room: what would write says so, what only reads makes nothing."""
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 4096)
    said = Terminal(small_disk, OFFLINE).process(*COMMANDS[command], given=EVENT)
    assert FULL.get(command, "") in said.out + said.err
    assert "Errno" not in said.err
    assert command in MAKING or not (small_disk / "home").exists()


def test_a_read_only_home(small_disk: Path) -> None:
    Terminal(small_disk).paths.ensure()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for command in COMMANDS:
        check(Terminal(small_disk, OFFLINE), command, "is on a read-only file system")


def test_a_backup_of_a_read_only_home_is_whole_elsewhere_and_nothing_in_it(
    small_disk: Path, tmp_path: Path
) -> None:
    terminal = Terminal(small_disk)
    with open_store(terminal.paths.ensure().database) as store:
        store.execute("PRAGMA user_version")
    load_redactor(terminal.paths.redaction_key)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = terminal.qi("backup", str(small_disk / "home" / "b"))
    assert (said.code, "Read-only file system" in said.err) == (EXIT_FAILED, True)
    said = terminal.qi("backup", str(tmp_path / "b"))
    assert (said.code, said.err) == (EXIT_DONE, "")
    assert "it is whole, but" in said.out
    assert Terminal(tmp_path).qi("restore", str(tmp_path / "b")).code == EXIT_DONE


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_a_name_that_no_home_can_have(tmp_path: Path, kind: str, command: str) -> None:
    home, words = IMPOSSIBLE[kind]
    said = Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": home}).qi(*COMMANDS[command], given=EVENT)
    assert (said.code, said.out) == (3 if command == "run" else EXIT_USAGE, "")
    assert f"QI_LEARN_HOME {words}" in said.err
    assert "Set QI_LEARN_HOME to a directory" in said.err
    assert len(said.err) < 400, "the name itself is not repeated"


def test_a_relative_name_whose_directory_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = f"cd {tmp_path}/gone && rmdir ../gone && exec {sys.executable} -m qi_learn status"
    told = subprocess.run(
        ["sh", "-c", words],
        env=Terminal(tmp_path, {"QI_LEARN_HOME": "home"}).environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == EXIT_USAGE
    assert "QI_LEARN_HOME is relative, and the directory in which you are is gone." in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("name", ["home", "./a b/'häuser'", "\udcff\udcfe", "h" * 200])
def test_an_unusual_name_is_as_good_as_any(tmp_path: Path, name: str) -> None:
    terminal = Terminal(tmp_path, OFFLINE | {"QI_LEARN_HOME": name})
    assert terminal.qi("log", "--event", "-", given=EVENT).code == EXIT_DONE
    assert len(list((tmp_path / name / "state/spool").iterdir())) == 1
    for command in ("status", "run", "log", "explain", "rate", "versions", "forget"):
        said = terminal.qi(*COMMANDS[command])
        assert "QI_LEARN_HOME" not in said.out + said.err, command
        assert said.code in (EXIT_DONE, EXIT_FAILED, 3)


@root_only
@pytest.mark.parametrize("command", ["status", "doctor", "init", "train"])
def test_a_home_on_a_network(tmp_path: Path, command: str) -> None:
    """What only writes down or lists works there: nothing would be taken in, and status says so."""
    home = tmp_path / "home"
    Terminal(tmp_path).paths.ensure()
    told = on_network(home, "-m", "qi_learn", *COMMANDS[command])
    assert "is on a network file system (nfs4)" in told.stdout + told.stderr
    assert "Set QI_LEARN_HOME to a directory" in told.stdout + told.stderr
    assert "Traceback" not in told.stderr
    expected = {"status": EXIT_DONE, "doctor": EXIT_FAILED}
    assert told.returncode == expected.get(command, EXIT_FAILED)
