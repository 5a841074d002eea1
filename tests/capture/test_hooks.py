"""The hooks in real shells: what is typed at a terminal comes out as lines that the spool reads."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.records import CommandResult, Event
from qi_learn.spool import spool_files
from qi_learn.workspace.registry import add_project, remove_project
from tests.support.left_out import absent
from tests.support.repository import ENV, Repository
from tests.support.terminals import (
    HOOKS,
    PROJECT,
    SHELLS,
    Terminal,
    events,
    make_home,
    need,
    said,
)


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    return need(str(request.param))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


@pytest.fixture
def terminal(shell: str, home: Path) -> Iterator[Terminal]:
    terminal = Terminal(
        shell,
        home,
        before={
            "bash": "HISTCONTROL=ignoreboth",
            "zsh": "setopt hist_ignore_space hist_ignore_dups",
            "fish": "",
        }[shell],
    )
    yield terminal
    terminal.close()


def in_order(home: Path) -> list[Event]:
    """The events by time: each of fish's lines has a file of its own."""
    return sorted(events(home), key=lambda event: event.ts)


def test_outcomes_are_recorded_as_they_happened(terminal: Terminal, shell: str, home: Path) -> None:
    before = time.time()
    assert terminal.type("pytest 3") == "3"  # the exit status stays what it was
    assert terminal.type("true") == "0"
    terminal.type("make")
    first, second = in_order(home)
    assert (first.kind, first.source, first.author, first.project) == (
        "outcome",
        shell,
        "person",
        str(home / 'my "work\\ é'),
    )
    assert (first.body["kind"], first.body["command"], first.body["exit_code"]) == (
        "test",
        "pytest 3",
        3,
    )
    assert (second.body["kind"], second.body["exit_code"]) == ("compile", 0)
    assert before - 1 <= first.ts <= second.ts <= time.time() + 1
    assert 0 <= first.body["seconds"] < 30
    fields = {**first.body}
    assert fields.pop("cwd") == str(home / PROJECT / "src")
    CommandResult("id", first.ts, first.project or "", **fields)
    assert len({first.id, second.id}) == 2
    assert shell == "fish" or first.id < second.id
    files = spool_files(home / "state/spool")
    assert len(files) == (2 if shell == "fish" else 1)
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.name.startswith(f"{shell}-{terminal.pid}-")
    left = {path.name for path in (home / "state/spool").iterdir()} - {f.name for f in files}
    assert left == set()


def test_what_is_recorded_and_what_is_not(terminal: Terminal, home: Path) -> None:
    """Whole lines: test_hook_lines.py."""
    for line in (
        "pytest 1",
        "pytest 1",  # said twice
        " pytest 2",  # begins with a space
        "  mypy 2",
        "ls-like 1",
        "A=b env C=d mypy 1",
        "cd /",
        "pytest 10",  # in no project
    ):
        terminal.type(line)
    assert [code for _, code in said(home)] == [1, 1, 1]
    assert [e.body["kind"] for e in in_order(home)] == ["test", "test", "compile"]


def test_a_leading_space_is_seen_whatever_the_history_keeps(shell: str, home: Path) -> None:
    terminal = Terminal(
        shell,
        home,
        before={"bash": "unset HISTCONTROL", "zsh": "unsetopt hist_ignore_space"}.get(shell, ""),
    )
    for line in (" pytest 1", "pytest 2", "pytest 2", " pytest 2", "pytest 3"):
        terminal.type(line)
    terminal.close()
    assert [event.body["exit_code"] for event in in_order(home)] == [2, 2, 3]


def test_every_character_of_a_command_comes_through(terminal: Terminal, home: Path) -> None:
    terminal.type("pytest 0 'a\"b\\c' \"d'e\" é漢 %s %d \\$x '\\n'")
    (command,) = [c for c, _ in said(home)]
    assert 'a"b\\c' in command
    assert command.endswith("\"d'e\" é漢 %s %d \\$x '\\n'")


@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_control_characters_are_escaped(shell_name: str, home: Path) -> None:
    need(shell_name)
    text = "".join(chr(n) for n in range(1, 128)) + "é\\u0041 ✓"
    (home / "text").write_text(text)
    script = (
        f'. {HOOKS}/qi-learn.{shell_name}; IFS= read -r -d "" text <{home}/text; '
        f'_qi_learn_escaped "$text"; printf "%s" "$REPLY" >{home}/escaped'
    )
    subprocess.run(
        [shell_name, *SHELLS[shell_name], "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        check=True,
        capture_output=True,
    )
    assert json.loads('"' + (home / "escaped").read_text() + '"') == text


def test_no_process_is_started(shell: str, home: Path) -> None:
    """With the hook a shell that is traced starts as many processes as without it."""
    if shutil.which("strace") is None:
        absent("strace", "NOT TESTED: strace, which counts processes, is not installed here")
    lines = ("pytest 3", "true; pytest 4", "pytest 3 | cat", "cd web && npm test 3", "make")
    counts = []
    for hook in ("", f". {HOOKS}/qi-learn.{shell}"):
        terminal = Terminal(shell, home, hook=hook, traced=home / "traced")
        (home / "traced").write_text("")  # what starting up took is not counted
        for line in lines:
            terminal.type(line)
        terminal.close()
        counts.append(processes_of((home / "traced").read_text()))
    assert counts[0] == counts[1] == len(lines) + 1  # one is a pipeline of two
    assert len(said(home)) == len(lines)


def processes_of(trace: str) -> int:
    """How many processes were started, threads aside."""
    calls = (line for line in trace.splitlines() if re.search(r"(clone3?|v?fork)\(", line))
    return sum("CLONE_THREAD" not in line for line in calls)


def test_without_a_spool_nothing_happens(shell: str, home: Path) -> None:
    shutil.rmtree(home / "state")
    terminal = Terminal(shell, home)
    assert terminal.type("pytest 3") == "3"
    terminal.close()
    assert not (home / "state").exists()


def test_without_a_list_of_projects_nothing_happens_or_is_shown(shell: str, home: Path) -> None:
    (home / "data/projects.json").unlink()
    terminal = Terminal(shell, home)
    seen = ""
    for line in ("pytest 3", "cd web && npm test 3"):
        terminal.type(line)
        seen += terminal.seen
    terminal.close()
    assert "projects.json" not in seen
    assert events(home) == []


def test_commands_of_ours_whose_names_are_no_plain_words(terminal: Terminal, home: Path) -> None:
    for name in ("py_compile", "g++-12", "python3", "py.test"):
        shutil.copy(home / "bin/pytest", home / "bin" / name)
    for line in ("py_compile 1", "g++-12 2", "python3 -m pytest", "../../bin/py.test 3"):
        terminal.type(line)
    assert [command for command, _ in said(home)] == [
        *("py_compile 1", "g++-12 2", "python3 -m pytest", "../../bin/py.test 3"),
    ]


def test_the_places_of_the_platform(shell: str, home: Path) -> None:
    (home / ".local/state/qi-learn/spool").mkdir(parents=True)
    (home / ".local/share/qi-learn").mkdir(parents=True)
    shutil.move(home / "data/projects.json", home / ".local/share/qi-learn/projects.json")
    terminal = Terminal(shell, home, QI_LEARN_HOME="", XDG_STATE_HOME="", XDG_DATA_HOME="")
    terminal.type("pytest 1")
    terminal.close()
    assert len(spool_files(home / ".local/state/qi-learn/spool")) == 1


def test_a_living_shell_sees_what_is_registered(shell: str, home: Path) -> None:
    """What it remembers of the list holds until the list changes, or the directory."""
    paths, project, inner = Paths.under(home), home / "later", home / "later/inner"
    inner.mkdir(parents=True)
    terminal = Terminal(shell, home, at="later/inner")
    terminal.type("pytest 1")
    add_project(paths, project)
    terminal.type("pytest 2")
    terminal.type("pytest 3")
    add_project(paths, inner)
    terminal.type("pytest 4")
    terminal.type("cd ..")
    terminal.type("pytest 5")
    remove_project(paths, project)
    terminal.type("pytest 6")
    terminal.type("cd inner && pytest 7")
    terminal.close()
    assert [(e.body["exit_code"], e.project) for e in in_order(home)] == [
        *((2, str(project)), (3, str(project))),
        *((4, str(inner)), (5, str(project)), (7, str(inner))),
    ]


@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_a_clock_that_is_set_back_leaves_a_line_that_can_be_read(
    shell_name: str, home: Path
) -> None:
    terminal = Terminal(need(shell_name), home)
    terminal.type("let _qi_learn_begin=9999999999999999; pytest")
    terminal.close()
    (event,) = events(home)
    assert event.body["seconds"] == 0


def test_an_alias_is_what_it_stands_for(terminal: Terminal, shell: str, home: Path) -> None:
    terminal.type("alias t='pytest 7'")
    terminal.type("t")
    # in fish an alias is a function, of which nothing is known
    assert said(home) == ([] if shell == "fish" else [("pytest 7", 7)])


@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_an_alias_that_begins_as_it_is_called_is_looked_into(shell_name: str, home: Path) -> None:
    """The first command that runs is the very line, and yet not all of it."""
    terminal = Terminal(need(shell_name), home)
    terminal.type("alias mypy='mypy; pytest 5' make='make; true'")
    terminal.type("mypy")
    terminal.type("make")
    terminal.close()
    assert said(home) == [("pytest 5", 5)]


def test_bash_reads_a_list_that_only_looks_older_within_a_minute(home: Path) -> None:
    """One that was replaced while a line was being written may be older than that line."""
    paths, project, inner = Paths.under(home), home / "later", home / "later/inner"
    inner.mkdir(parents=True)
    add_project(paths, project)
    terminal = Terminal(need("bash"), home, at="later/inner")
    terminal.type("pytest 1")
    add_project(paths, inner)
    os.utime(paths.projects, (1, 1))
    terminal.type("let _qi_learn_looked-=60")
    terminal.type("pytest 2")
    terminal.close()
    assert [(e.body["exit_code"], e.project) for e in in_order(home)] == [
        *((1, str(project)), (2, str(inner))),
    ]


def test_what_is_the_users_stays_as_it_was(shell: str, home: Path) -> None:
    """`REPLY` is what the person's own `read` set, whatever was typed since."""
    terminal = Terminal(shell, home)
    word = "set -g REPLY kept" if shell == "fish" else "REPLY=kept"
    terminal.type(word)
    for line in ("true", "pytest 3", "true; pytest 4", "cd .. && pytest 'a b' 2>&1", "mypy"):
        terminal.type(line)
    terminal.type(f"echo $REPLY >{home}/reply.txt")
    terminal.close()
    assert (home / "reply.txt").read_text() == "kept\n"
    assert len(said(home)) == 4


def test_loaded_twice_is_loaded_once(shell: str, home: Path) -> None:
    terminal = Terminal(shell, home)
    terminal.type(f". {HOOKS}/qi-learn.{shell}")
    terminal.type("pytest 1")
    terminal.close()
    assert [code for _, code in said(home)] == [1]


def test_bash_with_other_hooks_of_its_own(home: Path) -> None:
    terminal = Terminal("bash", home, before="PROMPT_COMMAND='seen=$?'")
    assert terminal.type("pytest 3; echo $_ $seen") == "0"
    assert terminal.type("pytest 4") == "4"
    terminal.type("echo $seen >seen.txt")
    terminal.close()
    assert [code for _, code in said(home)] == [4]
    assert (home / 'my "work\\ é/src/seen.txt').read_text() == "0\n"  # of the line `echo ready`


# --- git ------------------------------------------------------------------------------------------


def test_a_commit_is_told_with_its_project(home: Path) -> None:
    repo = Repository(home / 'my "work\\ é')
    hook = repo.root / ".git/hooks/post-commit"
    shutil.copy(HOOKS / "post-commit", hook)
    repo.write("a.py", "a = 1\n")
    repo.git("add", "-A")
    env = {**ENV, "QI_LEARN_HOME": str(home)}
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "One"],
        cwd=repo.root / "src",
        env=env,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (told,) = events(home)
    assert (told.kind, told.source, told.project) == ("git", "git", str(repo.root))
    assert told.body == {"action": "commit", "commit": repo.git("rev-parse", "HEAD")}
    assert told.id == f"git-{told.body['commit']}"  # not the file's name, which may come again
    (file,) = spool_files(home / "state/spool")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_commit_by_a_process_number_that_comes_again_is_told_too(home: Path) -> None:
    """Its file may have been taken in and deleted: then name and offset are the same again."""
    repo = Repository(home / PROJECT)
    env = {**ENV, "QI_LEARN_HOME": str(home)}
    ids = set()
    for number in range(2):
        repo.write("a.py", f"a = {number}\n")
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", "One more")
        subprocess.run([HOOKS / "post-commit"], cwd=repo.root, env=env, check=True)
        (file,) = spool_files(home / "state/spool")
        file.rename(file.with_name("git-77-0.jsonl"))
        ids |= {event.id for event in events(home)}
        (home / "state/spool/git-77-0.jsonl").unlink()
    assert len(ids) == 2


def test_the_git_hook_never_fails(home: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "QI_LEARN_HOME": str(home)}
    done = subprocess.run(
        [HOOKS / "post-commit"], cwd=home, env=env, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert events(home) == []
