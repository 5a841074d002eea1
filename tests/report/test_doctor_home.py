"""`qi-learn doctor` in a home that cannot be used: which it is, in one sentence, and no crash."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.report import doctor
from qi_learn.report.finding import Finding
from tests.support.command_line import OFFLINE, Terminal
from tests.support.odd_homes import (
    STRANGER,
    as_user,
    on_network,
    root_only,
)


def of_the_home(findings: Sequence[Finding]) -> list[str]:
    """What is wrong with the home; all of it has a hint."""
    found = [finding for finding in findings if finding.name == "home" and not finding.ok]
    assert all(finding.hint for finding in found)
    return [finding.what for finding in found]


def asked(place: Path) -> list[str]:
    """The same, as `qi-learn doctor --json` prints it and `qi-learn doctor` says it."""
    terminal = Terminal(place, OFFLINE)
    said = terminal.process("doctor", "--json")
    assert said.code == 1
    told = [check["what"] for check in said.json["checks"] if check["name"] == "home"]
    words = " ".join(terminal.process("doctor").out.split())
    assert all(f"MEND {what}" in words for what in told)
    return told


def test_a_home_that_can_be_used(paths: Paths) -> None:
    assert of_the_home(doctor.examine(paths)) == []
    assert not paths.data.exists(), "it changes nothing"


@root_only
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_home_on_a_network(tmp_path: Path, arguments: list[str]) -> None:
    home = tmp_path / "home"
    Paths.under(home).ensure()
    told = on_network(home, "-m", "qi_learn", "doctor", *arguments)
    assert (told.returncode, told.stderr) == (1, "")
    if arguments:
        found = [one["what"] for one in json.loads(told.stdout)["checks"] if one["name"] == "home"]
        assert len(found) == 1
        assert f"{home / 'data'} is on a network file system (nfs4)" in found[0]
    else:
        words = " ".join(told.stdout.split())
        assert "is on a network file system (nfs4): two machines could write" in words
        assert "-> Set QI_LEARN_HOME to a directory on this machine's own disk." in words


def test_a_read_only_home(small_disk: Path) -> None:
    home = Paths.under(small_disk / "home")
    made = small_disk / "other"
    Terminal(made).paths.ensure()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert of_the_home(doctor.examine(home)) == [
        f"{home.config} cannot be made: Read-only file system."
    ]
    assert asked(made) == [f"{made / 'home' / 'config'} is on a read-only file system."]


def test_a_full_home(small_disk: Path) -> None:
    paths = Terminal(small_disk).paths.ensure()
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    full = f"The disk that holds {paths.config} is full: what finds no room is lost."
    assert asked(small_disk) == [full]


def test_a_home_that_takes_no_more_files(small_disk: Path) -> None:
    paths = Terminal(small_disk).paths.ensure()
    options = "remount,size=8m,nr_inodes=40"
    subprocess.run(["mount", "-o", options, small_disk], check=True)
    with contextlib.suppress(OSError):
        for number in range(50):
            (small_disk / str(number)).touch()
    (found,) = asked(small_disk)
    assert found.startswith(f"The disk that holds {paths.config} takes no more files")


@root_only
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_home_of_another_user(open_place: Path, mode: int) -> None:
    """Also one into which that user cannot even look."""
    home = Paths.under(open_place / "home").ensure()
    for directory in (*(open_place / "home").iterdir(), open_place / "home"):
        directory.chmod(mode)
    doctor.examine(home)  # imports what only this user may be able to read
    told = as_user(STRANGER, lambda: of_the_home(doctor.examine(home)))
    seen = "belongs to another user (uid 0, you are uid 65534)"
    words = seen if mode == 0o755 else "cannot be made: Permission denied."
    assert f"{home.config} {words}" in told
    assert "Traceback" not in told


def test_a_file_in_the_place_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a directory")
    assert asked(tmp_path) == [f"{tmp_path / 'home' / 'config'} cannot be made: Not a directory."]
