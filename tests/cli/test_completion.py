"""Completion in a real shell: the script is put in place once, and the command answers it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Terminal

AS_INSTALLED = "import sys; sys.argv = ['qi-learn']; from qi_learn.__main__ import main; main()"


def in_shell(shell: str, terminal: Terminal, option: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT TESTED: {shell} is not here")
    done = subprocess.run(
        [shell, "-c", f"'{sys.executable}' -m qi_learn {option}; true"],
        env=terminal.environment(),
        cwd=terminal.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "script", "loader"),
    [
        ("bash", ".bash_completions/qi-learn.sh", ".bashrc"),
        ("zsh", ".zfunc/qi-learn.zsh", ".zshrc"),
        ("fish", ".config/fish/completions/qi-learn.fish", ""),
    ],
)
def test_it_is_installed_once(tmp_path: Path, shell: str, script: str, loader: str) -> None:
    terminal = Terminal(tmp_path)
    if loader:
        (tmp_path / loader).write_text("alias ll='ls -l'\n")
    for _ in range(2):
        assert str(tmp_path / script) in in_shell(shell, terminal, "--install-completion")
    assert "_QI_LEARN_COMPLETE" in (tmp_path / script).read_text()
    if loader:
        lines = (tmp_path / loader).read_text().splitlines()
        assert lines == ["alias ll='ls -l'", f"source ~/{script}"]
    shown = in_shell(shell, terminal, "--show-completion")
    assert shown.strip() == (tmp_path / script).read_text().strip()


@pytest.mark.parametrize("before", ["", "autoload -Uz compinit && compinit -D\n"])
def test_a_zsh_takes_it_whether_it_has_loaded_its_completion_or_not(
    tmp_path: Path, before: str
) -> None:
    terminal = Terminal(tmp_path)
    in_shell("zsh", terminal, "--install-completion")
    script = tmp_path / ".zfunc" / "qi-learn.zsh"
    assert script.read_text().startswith("#compdef qi-learn\n"), "or it could not be autoloaded"
    done = subprocess.run(
        ["zsh", "-fc", f"{before}source {script}; print -r -- $_comps[qi-learn]"],
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("_qi_learn_completion\n", "")


def test_the_command_answers_the_script(tmp_path: Path) -> None:
    terminal = Terminal(
        tmp_path,
        {"_QI_LEARN_COMPLETE": "bash_complete", "COMP_WORDS": "qi-learn ra", "COMP_CWORD": "1"},
    )
    done = subprocess.run(
        [sys.executable, "-c", AS_INSTALLED],
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,rate\n"
