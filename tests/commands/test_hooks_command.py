"""`qi-learn hooks`: what it puts there it takes away, byte for byte, and twice is once."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.cli.hooks import HOOK_NAMES
from qi_learn.commands import hooks
from qi_learn.commands.hooks import HookPlaces
from qi_learn.commands.uninstall_shell import find_shell_lines
from qi_learn.errors import NotFound
from tests.support.command_line import OFFLINE, Terminal

BEFORE = {
    "nothing": None,
    "an empty file": b"",
    "lines": b"alias x=y\n",
    "no end": b"alias x=y",
    "Windows's ends": b"alias x=y\r\n",
    "no UTF-8": b"# \xff\xfe\n",
}
FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


@pytest.fixture
def places(tmp_path: Path) -> HookPlaces:
    repository = tmp_path / "shop"
    repository.mkdir()
    subprocess.run(("git", "init", "-q"), cwd=repository, check=True)
    return HookPlaces(tmp_path, {}, repository)


def test_the_names_on_the_command_line_are_those_of_the_hooks() -> None:
    assert HOOK_NAMES == hooks.HOOKS


@pytest.mark.parametrize("shell", FILES)
@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
def test_a_shells_file_is_afterwards_what_it_was(
    places: HookPlaces, shell: str, before: bytes | None
) -> None:
    file = places.home / FILES[shell]
    if before is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(before)
        file.chmod(0o640)
    assert hooks.install(shell, places)
    installed = file.read_bytes()
    assert not hooks.install(shell, places)
    assert (file.read_bytes(), hooks.hook_state(shell, places).installed) == (installed, True)
    assert installed.startswith(before or b"")
    assert hooks.uninstall(shell, places)
    assert not hooks.uninstall(shell, places)
    assert (file.read_bytes() if file.exists() else None) == before
    if before is not None:
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
def test_what_was_written_behind_it_stays(places: HookPlaces, before: bytes | None) -> None:
    file = places.home / ".bashrc"
    if before is not None:
        file.write_bytes(before)
    hooks.install("bash", places)
    with file.open("ab") as out:
        out.write(b"export EDITOR=vi\n")
    hooks.uninstall("bash", places)
    kept = before or b""
    end = b"" if not kept or kept.endswith(b"\n") else b"\n"
    assert file.read_bytes() == kept + end + b"export EDITOR=vi\n"


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
def test_uninstall_of_everything_leaves_the_file_as_it_was_too(
    places: HookPlaces, before: bytes | None
) -> None:
    file = places.home / ".bashrc"
    if before is not None:
        file.write_bytes(before)
    hooks.install("bash", places)
    for removal in find_shell_lines(places.home, {}).removals:
        removal.do()
    assert (file.read_bytes() if file.exists() else None) == before


@pytest.mark.parametrize("shell", FILES)
def test_a_shell_that_starts_has_the_hook(places: HookPlaces, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    hooks.install(shell, places)
    show = "functions -a" if shell == "fish" else "typeset -f"
    done = subprocess.run(
        (shell, "-i", "-c", show),
        env={"HOME": str(places.home), "PATH": "/usr/bin:/bin", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "qi_learn" in done.stdout, done.stderr


def test_a_line_that_a_person_wrote_counts_and_goes(places: HookPlaces) -> None:
    file = places.home / ".bashrc"
    file.write_text(f"alias x=y\n. {hooks.script_of('bash')}\n")
    assert not hooks.install("bash", places)
    assert hooks.uninstall("bash", places)
    assert file.read_text() == "alias x=y\n"


def test_gits_hook_is_ours_alone_or_a_line_in_the_persons(places: HookPlaces) -> None:
    file = places.repository / ".git" / "hooks" / "post-commit"
    assert hooks.install("git", places)
    assert not hooks.install("git", places)
    assert file.read_bytes() == hooks.script_of("git").read_bytes()
    assert file.stat().st_mode & stat.S_IXUSR
    assert hooks.uninstall("git", places)
    assert not file.exists()
    own = b"#!/bin/bash\necho done\nexit 0"
    file.write_bytes(own)
    file.chmod(0o755)
    assert hooks.install("git", places)
    assert not hooks.install("git", places)
    assert hooks.hook_state("git", places).installed
    assert hooks.uninstall("git", places)
    assert not hooks.uninstall("git", places)
    assert file.read_bytes() == own


def test_a_hook_that_is_no_script_of_a_shell_is_left_and_said(places: HookPlaces) -> None:
    file = places.repository / ".git" / "hooks" / "post-commit"
    file.write_text("#!/usr/bin/env python3\nprint(1)\n")
    with pytest.raises(NotFound, match="no script of a shell"):
        hooks.install("git", places)
    subprocess.run(("git", "config", "core.hooksPath", "x"), cwd=places.repository, check=True)
    with pytest.raises(NotFound, match=r"core\.hooksPath"):
        hooks.install("git", places)


def test_on_the_command_line(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    assert "installed in" in terminal.qi("hooks", "install", "bash").out
    assert "installed already" in terminal.qi("hooks", "install", "bash").out
    listed = terminal.qi("hooks", "list", "--json").json["hooks"]
    assert {h["name"]: h["installed"] for h in listed} == {
        "bash": True,
        "zsh": False,
        "fish": False,
        "git": False,
        "nvim": False,
        "vscode": False,
        "claude": False,
        "opencode": False,
    }
    assert terminal.qi("hooks", "status", "zsh", "--json").json["file"].endswith(".zshrc")
    assert "taken away" in terminal.qi("hooks", "uninstall", "bash").out
    assert not (tmp_path / ".bashrc").exists()
    assert terminal.qi("hooks", "install", "git").code == 1
    assert terminal.qi("hooks", "install", "csh").code == 2


NO_FILES: dict[str, Callable[[Path], None]] = {
    "a link to nothing": lambda path: path.symlink_to(path.parent / "dotfiles"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
}


def _written(file: Path) -> tuple[int, int, int]:
    """What changes if a file or a link is put anew or written, and not if it is read."""
    found = file.lstat()
    return found.st_mode, found.st_ino, found.st_mtime_ns


@pytest.mark.parametrize("make", NO_FILES.values(), ids=list(NO_FILES))
@pytest.mark.parametrize("name", [*FILES, "git"])
def test_nothing_is_put_where_no_file_is(
    places: HookPlaces, name: str, make: Callable[[Path], None]
) -> None:
    file = Path(hooks.hook_state(name, places).file)
    file.parent.mkdir(parents=True, exist_ok=True)
    make(file)
    before = sorted(os.walk(places.home)), _written(file)
    with pytest.raises(NotFound, match="no file, or a link to nothing"):
        hooks.install(name, places)
    assert (sorted(os.walk(places.home)), _written(file)) == before
    assert not hooks.uninstall(name, places)
    assert os.path.lexists(file)
