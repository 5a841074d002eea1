"""What bash passes on as it stands: raw lines of the spool, whole or torn, and what they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from qi_learn.capture.shell_outcomes import outcomes_of
from qi_learn.capture.wire import decode
from qi_learn.spool import read_from, retire, spool_files
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import Drained, drain
from tests.support.drained_spool import dead_pid
from tests.support.terminals import Terminal, events, make_home, need

HEAD = b'{"v":1,"kind":"outcome","source":"bash","project":"/p","body":{"cwd":"/p/src"}}\0\0'
FIELDS = {
    "begin": "1000.25",
    "end": "1002,750000",  # as some locales write it
    "code": "3",
    "pipes": "3",
    "from": "/p/src",
    "to": "/p/src",
    "options": "himBHs",
    "shopt": "checkwinsize:expand_aliases",
    "number": "501",
    "count": "1",
    "alone": "",
    "first": "pytest 3",
    "line": "  501  pytest 3\n",
    "names": "",
}


GLOB = {"code": "1", "line": "  501  pytest *.x\n", "first": "pytest *.x"}
ALIASES = "alias a='x\n it'\\''s'\nalias t='pytest 3'\n"


def frame(**more: str) -> bytes:
    return HEAD + b"".join(f"{k}={v}\0".encode() for k, v in (FIELDS | more).items()) + b"\n"


def told(directory: Path, *pieces: bytes, pid: int = 0) -> list[tuple[str, int] | str]:
    file = directory / f"bash-{pid or dead_pid()}-1.jsonl"
    file.write_bytes(b"".join(pieces))
    said: list[tuple[str, int] | str] = []
    for line in read_from(file):
        if line.event is None:
            said.append("bad")
        else:
            said += [(e.body["command"], e.body["exit_code"]) for e in outcomes_of(line.event)]
    return said


def test_a_line_is_read_with_its_times_and_its_place(tmp_path: Path) -> None:
    (tmp_path / "bash-77-1.jsonl").write_bytes(frame() * 2)
    first, second = (line.event for line in read_from(tmp_path / "bash-77-1.jsonl"))
    assert first is not None and second is not None  # noqa: PT018
    assert first.id != second.id
    (one,) = outcomes_of(first)
    assert (one.ts, one.project, one.body["cwd"]) == (1002.75, "/p", "/p/src")
    assert (one.body["command"], one.body["exit_code"]) == ("pytest 3", 3)
    assert one.body["seconds"] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"line": "  502  pytest 3\n"}, []),  # the history has moved on
        ({"line": "  501* pytest 3\n"}, [("pytest 3", 3)]),  # one that was edited
        ({"number": "100501", "line": "100501  pytest 3\n"}, [("pytest 3", 3)]),
        ({"line": "  501  pytest 3 \\\n x\n"}, []),  # of several lines
        ({"line": "  501   pytest 3\n"}, []),  # begins with a space
        ({"count": "2"}, []),  # more ran than the line says
        ({"names": "pytest\n"}, []),  # a function
        ({"names": "pytest 12 /home/me/.bashrc\n"}, []),  # one as extdebug lists it
        ({"names": "alias pytest='! pytest'\n"}, []),
        ({"line": "  501  t\n", "names": ALIASES}, [("pytest 3", 3)]),
        ({"line": "  501  t\n", "names": "alias t='pytest 3'\n", "shopt": ""}, []),
        (GLOB, [("pytest *.x", 1)]),
        (GLOB | {"shopt": "failglob"}, []),
    ],
)
def test_what_it_says(tmp_path: Path, more: dict[str, str], said: list[tuple[str, int]]) -> None:
    assert told(tmp_path, frame(**more)) == said


def test_a_torn_line_is_set_aside_and_costs_no_other(tmp_path: Path) -> None:
    whole = frame(line="  501  pytest 3\n")
    for cut in range(1, len(whole)):
        said = told(tmp_path, frame(), whole[:cut], frame(), frame())
        assert said == [("pytest 3", 3), "bad", ("pytest 3", 3), ("pytest 3", 3)], whole[:cut]
        assert told(tmp_path, frame(), whole[:cut]) == [("pytest 3", 3), "bad"]


def test_half_a_line_waits_for_the_rest_while_its_shell_lives(tmp_path: Path) -> None:
    whole = frame()
    for cut in (10, len(HEAD), len(HEAD) + 40, len(whole) - 10, len(whole) - 1):
        said = told(tmp_path, frame(), whole[:cut], pid=os.getpid())
        assert said == [("pytest 3", 3)]


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"code=0\0\n",
        HEAD + b"code=0\n",
        frame(code="x"),
        frame(begin="soon"),
        frame(names="alias t='pytest\n"),
        frame().replace(b"pytest", b"\xff\xfe"),
    ],
)
def test_what_is_of_another_form_is_an_error(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / f"bash-{dead_pid()}-1.jsonl"
    file.write_bytes(raw)
    (line,) = read_from(file)
    if line.event is not None:
        with pytest.raises(ValueError, match=r"."):
            outcomes_of(line.event)


def test_zeros_that_a_crash_left_hide_no_line_behind_them(tmp_path: Path) -> None:
    assert told(tmp_path, b"\0" * 4096 + b"\n", frame()) == ["bad", ("pytest 3", 3)]


# --- in a real shell -----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


def test_aliases_and_functions_are_passed_on(home: Path) -> None:
    terminal = Terminal(need("bash"), home, before="HISTCONTROL=ignoreboth")
    for line in (
        *("alias t='pytest 7' q='it'\\''s'", "t", "make() { :; }", "make", "true; make"),
        *("unset -f make", "make 4", "pytest 5 'é %s'"),
    ):
        terminal.type(line)
    terminal.close()
    assert [(e.body["command"], e.body["exit_code"]) for e in events(home)] == [
        *(("pytest 7", 7), ("make 4", 4), ("pytest 5 'é %s'", 5)),
    ]


@pytest.mark.parametrize("control", ["HISTCONTROL=ignoreboth", "HISTCONTROL="])
def test_a_long_line_comes_through_whole(home: Path, control: str) -> None:
    """Longer than a pipe holds; a line that waits in a pipe would stop the shell."""
    terminal = Terminal(need("bash"), home, before=f"{control}; HISTTIMEFORMAT='%F %T '")
    word = "x" * 3000
    (home / "line").write_text(f"pytest 0 # {f'{word} ' * 60}\n")
    terminal.type(f"PS2=; history -r {home}/line")
    terminal.type(f"pytest 3 {word}")
    terminal.close()
    assert [e.body["exit_code"] for e in events(home)] == [3]


@pytest.mark.parametrize("control", ["HISTCONTROL=ignorespace", "HISTCONTROL="])
def test_what_a_line_hides_never_lies_in_the_spool(home: Path, control: str) -> None:
    """A line that begins with a space, and what stands in the history in its place."""
    terminal = Terminal(need("bash"), home, before=control)
    for line in (
        *("export TOKEN=hunter2", " pytest 3 hunter2", " pytest 3 hunter2", "pytest 4"),
        *(" pytest 4", "ls-like hunter2", " pytest 4", " make hunter2; pytest 5"),
    ):
        terminal.type(line)
    terminal.close()
    spool = b"".join(path.read_bytes() for path in spool_files(home / "state/spool"))
    assert b"hunter2" not in spool
    assert ("pytest 4", 4) in [(e.body["command"], e.body["exit_code"]) for e in events(home)]


def test_another_terminals_history_is_not_taken_for_the_line(home: Path) -> None:
    """Prompt commands that share the history load the lines of other shells before our turn."""
    (home / "others").write_text("ls-like hunter2\n")
    terminal = Terminal(
        need("bash"),
        home,
        before=f"HISTCONTROL=ignoreboth; PROMPT_COMMAND='(true); history -r {home}/others'",
    )
    terminal.type("pytest 3")
    terminal.type("cd web && npm test 4")
    terminal.close()
    assert [(e.body["command"], e.body["exit_code"]) for e in events(home)] == [
        *(("pytest 3", 3), ("npm test 4", 4)),
    ]
    spool = b"".join(path.read_bytes() for path in spool_files(home / "state/spool"))
    assert b"hunter2" not in spool


@pytest.mark.parametrize("control", ["ignoreboth", "ignorespace", ""])
def test_a_history_that_grows_behind_the_hook_lets_nothing_hidden_through(
    home: Path, control: str
) -> None:
    """What another shell wrote takes the number that the next line would have had."""
    others = home / "others"
    terminal = Terminal(need("bash"), home, before=f"HISTCONTROL={control}")
    terminal.type(f"PROMPT_COMMAND+=('history -r {others}; : > {others}')")
    for number in range(4):
        others.write_text(f"ls-like hunter{number}\n")
        terminal.type("true")
        others.write_text(f"pytest 0 other{number}\n")
        terminal.type(f" pytest 3 hidden{number}")
        terminal.type("pytest 4")
    terminal.close()
    spool = b"".join(path.read_bytes() for path in spool_files(home / "state/spool"))
    assert not re.findall(rb"hunter\d|hidden\d|other\d", spool)
    assert {(e.body["command"], e.body["exit_code"]) for e in events(home)} == {("pytest 4", 4)}


@pytest.mark.parametrize("trap", ["set -E; trap 'seen=1' ERR", "trap 'false; true' ERR"])
def test_a_trap_on_errors_hides_no_line_that_failed(home: Path, trap: str) -> None:
    terminal = Terminal(need("bash"), home, before="HISTCONTROL=ignoreboth")
    terminal.type(trap)
    for line in ("pytest 3", "pytest 0", "make 2; pytest 5", "cd web && npm test 4"):
        terminal.type(line)
    terminal.close()
    told = [(e.body["command"], e.body["exit_code"]) for e in events(home)]
    assert told == [("pytest 3", 3), ("pytest 0", 0), ("pytest 5", 5), ("npm test 4", 4)]


def test_a_prompt_that_begins_with_a_subshell_hides_no_exit_code(home: Path) -> None:
    """bash says nothing of a subshell; what comes behind it sees the subshell's exit code."""
    terminal = Terminal(
        need("bash"), home, before="HISTCONTROL=ignoreboth; PROMPT_COMMAND='(true); seen=$?'"
    )
    for line in ("pytest 3", "pytest 4 | cat"):
        terminal.type(line)
    terminal.close()
    assert [e.body["exit_code"] for e in events(home)] == [3, 4]


# --- into the store ------------------------------------------------------------------------------


def test_it_is_stored_once_and_the_line_itself_is_not(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    file = spool / f"bash-{os.getpid()}-1.jsonl"
    secret = "  501  mysql --user=me hunter2hunter2; pytest 3\n"
    names = "alias hidden='hunter2hunter2'\n"
    with open_store(tmp_path / "db") as store:
        hidden = frame(line=secret, first=secret[7:].split(";")[0], names=names)
        file.write_bytes(frame() + hidden[:-5])
        first = taken(store, spool)
        with file.open("ab") as more:
            more.write(hidden[-5:] + frame(code="4", line="  501  pytest 4\n", first="pytest 4"))
        second = taken(store, spool)
        assert retire(file)  # a shell's file, which it finds by its name
        third = taken(store, spool)
        rows = store.rows("SELECT command, exit_code FROM commands ORDER BY id")
    assert (first.count, second.count, third.count) == (1, 1, 0)
    assert first.bad + second.bad + third.bad == 0
    assert [tuple(row) for row in rows] == [("pytest 3", 3), ("pytest 4", 4)]
    held = b"".join(path.read_bytes() for path in tmp_path.glob("db*"))
    assert b"hunter2" not in held


def taken(store: Store, spool: Path) -> Drained:
    return drain(store, spool, decode=decode, suggest=lambda _: (), outcomes=outcomes_of, now=2e9)
