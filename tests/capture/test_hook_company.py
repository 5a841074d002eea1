"""The hooks beside what other tools put into a shell, loaded before and after it, and under the
options that people set.

`QI_LEARN_SHELL_TOOLS=DIR` tries the tools' own scripts too (`scripts/test --slow -k own_scripts`):
DIR/bash/*.sh, DIR/zsh/*.zsh and DIR/fish/*.fish are each loaded as they are, before the hook and
after it. Where to get them: docs/how-to/shell-hooks.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.capture.test_hook_lines import NOTHING, Recorded, Told
from tests.support.shell_company import COMPANY
from tests.support.terminals import Terminal, events, make_home, need, said

LINES: tuple[tuple[str, Told], ...] = (
    ("pytest 3", (("pytest 3", 3),)),
    ("pytest 3", (("pytest 3", 3),)),
    ("pytest", (("pytest", 0),)),
    ("pytest 4 | cat", (("pytest 4", 4),)),
    ("pytest 5; true", NOTHING),
    ("true && pytest 6", NOTHING),
    ("true && pytest", (("pytest", 0),)),
    ("! pytest 2", NOTHING),
    ("pytest 5 &", NOTHING),
    ("true; pytest 5", (("pytest 5", 5),)),
    ("cd web && npm test 3", (("npm test 3", 3),)),
    ("cd ..", NOTHING),
    ("make 3", (("make 3", 3),)),
)
CASES = [(shell, name) for shell, company in COMPANY.items() for name in company]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


def differences(terminal: Terminal) -> list[tuple[str, Told, Told]]:
    recorded = Recorded(terminal)
    said = [(line, recorded.said(line), expected) for line, expected in LINES]
    return [row for row in said if row[1] != row[2]]


def placed(shell: str, home: Path, order: str, lines: str, program: str = "") -> Terminal:
    """A terminal with these lines before or after the hook."""
    before, after = (lines, "") if order == "before" else ("", lines)
    return Terminal(shell, home, before=before, after=after, TERM_PROGRAM=program)


def loading(home: Path, shell: str, script: str) -> str:
    (home / f"company.{shell}").write_text(script)
    return f". {home}/company.{shell}"


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(("shell", "name"), CASES)
def test_beside_other_tools_lines_say_the_same(
    shell: str, name: str, order: str, home: Path
) -> None:
    company = loading(home, need(shell), COMPANY[shell][name])
    terminal = placed(shell, home, order, company)
    assert differences(terminal) == []
    terminal.close()


OPTIONS = {
    "bash": (
        *("set -u", "set -o posix", "shopt -s extdebug", "set -o functrace", "IFS=:/t"),
        *("shopt -s failglob nullglob extglob nocasematch", "unset PS0"),
        *("HISTCONTROL=ignoreboth", "HISTCONTROL=erasedups", "HISTTIMEFORMAT='%F %T '"),
        *("trap 'echo $BASH_COMMAND >/dev/null' DEBUG", "set +o histexpand; shopt -u cmdhist"),
        "PS0=$(printf '\\a')",
    ),
    "zsh": (
        *("setopt no_unset", "setopt ksh_arrays", "setopt sh_word_split glob_subst", "IFS=:/t"),
        *("setopt err_return", "setopt warn_create_global", "emulate sh", "setopt no_nomatch"),
        *("setopt hist_ignore_space hist_ignore_dups", "HISTSIZE=0", "setopt pipe_fail"),
        *("setopt extended_glob null_glob", "setopt rematch_pcre", "setopt no_multibyte"),
    ),
    "fish": ("set -g IFS :", "set fish_greeting", "set -U fish_color_command red"),
}
SETTINGS = [(shell, option) for shell, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(("shell", "option"), SETTINGS)
def test_under_any_option_lines_say_the_same(
    shell: str, option: str, order: str, home: Path
) -> None:
    terminal = placed(need(shell), home, order, option)
    terminal.type("true")
    assert differences(terminal) == []
    assert terminal.type("pytest 9") == "9"
    assert_quiet(terminal)
    terminal.close()


SILENT = {
    "bash": (
        *("readonly HISTTIMEFORMAT=x", "set +o history", "HISTIGNORE='*'", "HISTSIZE=0"),
        *("readonly PROMPT_COMMAND=true", "readonly PS0=x", "BLE_VERSION=0.4"),
    ),
    "fish": ("set -g fish_private_mode 1",),
}


def assert_quiet(terminal: Terminal) -> None:
    """No word of the hook has come out at the terminal."""
    for trouble in ("unbound", "_qi_learn", "parameter not set", "readonly"):
        assert trouble not in terminal.seen


@pytest.mark.parametrize(
    ("shell", "option"),
    [(shell, option) for shell, options in SILENT.items() for option in options],
)
def test_if_something_is_missing_nothing_happens(shell: str, option: str, home: Path) -> None:
    """The line cannot be seen, or may not be."""
    terminal = Terminal(need(shell), home, before=option)
    assert terminal.type("pytest 9") == "9"
    assert_quiet(terminal)
    terminal.close()
    assert events(home) == []


def test_bash_repeated_lines_that_the_history_leaves_out(home: Path) -> None:
    """With `ignoreboth` it takes neither a repeated line nor one that begins with a space."""
    need("bash")
    terminal = Terminal("bash", home, before="HISTCONTROL=ignoreboth")
    hidden = (" pytest 3; true", " ! pytest 3", " pytest 3 | cat", " make 3", " (exit 4)", " mypy")
    typed = ["pytest 3", "pytest 3", *(line for h in hidden for line in (h, "pytest 3"))]
    os.write(terminal.fd, "".join(f"{line}\n" for line in typed).encode())
    terminal.type("true")
    terminal.close()
    assert said(home) == [("pytest 3", 3)] * (2 + len(hidden))


def own_scripts() -> list[Path]:
    root = Path(os.environ.get("QI_LEARN_SHELL_TOOLS", "/nonexistent"))
    found = (path for shell in COMPANY for path in sorted((root / shell).glob("*")))
    return [path for path in found if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
def test_beside_the_tools_own_scripts(order: str, tmp_path: Path) -> None:
    """Each script as it comes; what is recorded is true, and a line of one command always is."""
    scripts = own_scripts()
    if not scripts:
        pytest.skip("NOT TESTED: QI_LEARN_SHELL_TOOLS names no directory with scripts of tools")
    wrong = []
    for number, script in enumerate(scripts):
        shell = need(script.parent.name)
        home = make_home(tmp_path / str(number))
        # without its terminal's name VS Code's script for fish does nothing
        terminal = placed(shell, home, order, f". {script}", script.stem)
        terminal.type("true")
        wrong += [(script.name, *row) for row in differences(terminal)]
        assert_quiet(terminal)
        terminal.close()
    assert wrong == []
