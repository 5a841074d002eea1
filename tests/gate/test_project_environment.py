"""What the command of a project's tests is shown of this machine, and what it never is."""

from __future__ import annotations

import shutil
import sys
import venv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.gate.project_environment import ProjectEnvironment, TestCommand, environment_of
from tests.support.tested_projects import PYTEST, UNITTEST

GO = TestCommand("go", ("go", "test"))
NODE = TestCommand("node", ("node", "--test"))
CARGO = TestCommand("cargo", ("cargo", "test"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a keyring and a token in it; programs are found in `.local/bin` alone."""
    place = tmp_path / "home"
    write(place / ".local" / "share" / "keyrings" / "login.keyring", "secret")
    write(place / ".cargo" / "credentials.toml", "token")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("PATH", f"{place}/.local/bin:{place}/.cargo/bin")
    monkeypatch.delenv("RUSTUP_HOME", raising=False)
    return place


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def shown(command: TestCommand, top: Path) -> Mapping[Path, Path]:
    """What a command is shown in a project, by where it sees it."""
    top.mkdir(exist_ok=True)
    found = environment_of(command, top, top)
    assert isinstance(found, ProjectEnvironment), found
    return {each.at: each.source for each in found.shown}


# --- the working tree -----------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "part"])
def test_a_virtual_environment_that_is_the_working_tree_itself_is_not_shown(
    tmp_path: Path, below: str
) -> None:
    """`bin/pytest` of a project in its own environment, with all that is not committed."""
    top = tmp_path / "project"
    place = top / below
    venv.create(place, symlinks=True)
    write(top / ".env", "API_TOKEN=of the person")
    command = replace(PYTEST, interpreter="", argv=("bin/pytest",))
    assert environment_of(command, top, place) == f"it would have to see {place}"


def test_a_virtual_environment_beside_the_code_is_shown(tmp_path: Path) -> None:
    venv.create(tmp_path / "project" / ".venv", symlinks=True)
    places = shown(replace(UNITTEST, interpreter=".venv/bin/python"), tmp_path / "project")
    assert tmp_path / "project" / ".venv" / "lib" in places


def test_of_an_environment_that_shares_its_directory_only_what_is_installed_is_shown(
    tmp_path: Path,
) -> None:
    """A part of a project that was made an environment: code of the person's lies beside it."""
    top = tmp_path / "project"
    venv.create(top / "part", symlinks=True)
    write(top / "part" / ".env", "API_TOKEN=of the person")
    places = shown(replace(PYTEST, interpreter="", argv=("part/bin/pytest",)), top)
    own = sorted(at.name for at in places if at.is_relative_to(top))
    assert set(own) <= {"bin", "include", "lib", "lib64", "pyvenv.cfg", "share", "etc"}


# --- the home -------------------------------------------------------------------------------------


def test_nothing_is_shown_that_is_a_home_or_above_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / "python3.12").mkdir(parents=True)
    (tmp_path / "lib" / "python3.12" / "os.py").write_text("")
    (tmp_path / "bin" / "python3").write_text("")
    command = replace(PYTEST, interpreter=str(tmp_path / "bin" / "python3"))
    assert environment_of(command, tmp_path / "p", tmp_path / "p") == (
        f"it would have to see {tmp_path}"
    )


def test_of_a_python_in_the_home_only_what_it_is_made_of_is_shown(
    home: Path, tmp_path: Path
) -> None:
    """One that was built by hand with `--prefix ~/.local`, where keyrings are too."""
    local = home / ".local"
    (local / "bin").mkdir()
    shutil.copy(sys.executable, local / "bin" / "python3")
    write(local / "lib" / "python3.12" / "os.py", "")
    write(local / "lib" / "libpython3.12.so.1.0", "")
    write(local / "lib" / "mail" / "inbox", "private")
    (local / "include").mkdir()
    places = shown(replace(UNITTEST, interpreter="python3"), tmp_path / "project")
    assert places == {
        each: each
        for each in (
            local / "bin",
            local / "include",
            local / "lib" / "python3.12",
            local / "lib" / "libpython3.12.so.1.0",
        )
    }


@pytest.mark.parametrize(
    ("command", "place", "parts"),
    [
        (NODE, ".local", {"bin"}),
        (GO, ".local", {"bin", "src"}),
        (CARGO, ".cargo", {"bin"}),
    ],
    ids=["node", "go", "cargo"],
)
def test_of_other_tools_in_the_home_neither_keyrings_nor_tokens_are_shown(
    home: Path, tmp_path: Path, command: TestCommand, place: str, parts: set[str]
) -> None:
    write(home / place / "bin" / command.tool, "\x7fELF")
    write(home / ".local" / "src" / "fmt" / "print.go", "")
    assert shown(command, tmp_path / "project") == {
        home / place / p: home / place / p for p in parts
    }


def test_what_all_programs_keep_in_a_home_is_not_shown(home: Path, tmp_path: Path) -> None:
    """Even if a link of the project's leads to it."""
    write(home / ".local" / "bin" / "node", "\x7fELF")
    top = tmp_path / "project"
    top.mkdir()
    (top / "node_modules").symlink_to(home / ".local" / "share")
    assert environment_of(NODE, top, top) == f"it would have to see {home / '.local' / 'share'}"


def test_a_tool_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    command = replace(PYTEST, tool="make", argv=("make", "test"))
    assert environment_of(command, tmp_path, tmp_path) == (
        "its tests are run by a tool whose environment is not known"
    )
