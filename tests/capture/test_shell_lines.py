"""What the hooks write down of a line, and what becomes of it: the truth it says is stored, once,
and the line goes no further.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.shell_outcomes import outcomes_of
from qi_learn.capture.wire import decode
from qi_learn.records import Event
from qi_learn.spool import spool_files
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import Drained, drain
from tests.support.terminals import SHELLS, Terminal, make_home, need, written

LINE = {"line": "mypy && pytest", "code": 0, "seconds": 2e-6, "cwd": "/p/src"}
"""A line of two commands that are both told."""


def event(body: Mapping[str, Any], source: str = "bash", **more: str) -> Event:
    return Event(more.get("id", "L"), "outcome", 1000.0, source, body, "person", "/p")


def said(source: str, line: str, code: int, **more: Any) -> list[tuple[str, int]]:
    first = {"first": line.split(" && ")[0].split(";")[0].split(" |")[0]} | more
    more = {**(first if source == "bash" else {}), **more}
    body = {"line": line, "code": code, "seconds": 0.1, "cwd": "/p", **more}
    told = outcomes_of(event(body, source))
    return [(one.body["command"], one.body["exit_code"]) for one in told]


@pytest.mark.parametrize("shell", SHELLS)
def test_only_what_may_hold_a_command_of_ours_is_written(shell: str, tmp_path: Path) -> None:
    """Not for an instant: what a shell writes to the disk is looked at here."""
    home = make_home(tmp_path)
    terminal = Terminal(need(shell), home)
    for line in (
        *("alias ll='ls -l'", "ll", "ls-like hunter2", "true && ls-like hunter2 | cat"),
        *(" pytest hunter2", "cd ../../nowhere && cd /", "pytest hunter2", "cd -"),
        *("echo hunter2; true", "pytest 3; true"),
    ):
        terminal.type(line)
    terminal.close()
    spool = "".join(path.read_text() for path in spool_files(home / "state/spool"))
    assert "hunter2" not in spool
    lines = [one.body["line"] for one in written(home)]
    assert "pytest 3; true" in lines
    assert not {"ll", "alias ll='ls -l'"} & set(lines)


def test_bash_writes_no_line_of_the_history_for_one_that_is_hidden(tmp_path: Path) -> None:
    """The last entry is another line then, of which nothing is known but that it was typed."""
    home = make_home(tmp_path)
    terminal = Terminal(need("bash"), home, before="HISTCONTROL=ignorespace")
    terminal.type("ls-like 3")
    terminal.type(" pytest 3")
    terminal.close()
    assert written(home) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_line_in_a_pipeline_has_all_that_is_needed(shell: str, tmp_path: Path) -> None:
    home = make_home(tmp_path)
    terminal = Terminal(need(shell), home)
    terminal.type("function pytest { return 4 }" if shell == "zsh" else "alias pytest 'make 4'")
    terminal.type("cd web; pytest | cat")
    terminal.close()
    (one,) = (e for e in written(home) if "cat" in e.body["line"])
    assert one.body["moved"] == 1
    assert one.body["pipes"].split() == ["4", "0"]
    assert one.body["functions"].split() == ["pytest"]


def test_ids_follow_from_the_line_so_that_it_makes_the_same_rows_again() -> None:
    told = outcomes_of(event(LINE | {"first": "mypy"}))
    assert [one.id for one in told] == ["L", "L.1"]
    assert [dict(one.body) for one in told] == [
        {
            "kind": kind,
            "command": command,
            "exit_code": 0,
            "seconds": 2e-6,
            "cwd": "/p/src",
        }
        for kind, command in (("compile", "mypy"), ("test", "pytest"))
    ]


def test_an_event_of_a_hook_before_passes_as_it_is() -> None:
    before = event({"kind": "test", "command": "pytest", "exit_code": 1, "seconds": 1.0})
    assert outcomes_of(before) == (before,)


SAID: tuple[tuple[str, str, int, dict[str, Any], list[tuple[str, int]]], ...] = (
    ("bash", "t -q; make 5", 5, {"aliases": {"t": "true"}, "first": "true -q"}, [("make 5", 5)]),
    ("bash", "t; make 5", 5, {"aliases": {"t": "ls; exit"}, "first": "ls"}, []),
    ("bash", "s make 5", 5, {"aliases": {"s": "sudo ", "make": "true"}, "first": "sudo true"}, []),
    ("bash", "cd x; make 5", 5, {"aliases": {"make": "ls"}}, []),
    ("bash", "cd x; make 5", 5, {"aliases": {"make": "make -j8"}}, [("make 5", 5)]),
    ("bash", "make 5", 5, {"first": "true"}, []),  # the history was another's
    ("bash", "make 5", 5, {"alone": 1}, [("make 5", 5)]),
    ("bash", "true; make 5", 5, {"alone": 1}, []),
    ("bash", "make $x", 1, {"options": "himuBH"}, []),
    ("bash", "make $x", 1, {"options": "himBH"}, [("make $x", 1)]),
    ("bash", "make *.c", 1, {"options": "himBH,failglob"}, []),
    ("bash", "make *.c", 1, {"options": "himBH"}, [("make *.c", 1)]),
    ("bash", "make", 148, {}, []),  # stopped, and may go on
    ("bash", "cd web && make", 2, {"moved": 1}, [("make", 2)]),
    ("bash", "cd web && make", 2, {}, []),
    ("bash", "mypy && cd ..", 0, {"moved": 1}, []),  # it ran in another directory
    ("bash", "make | cat", 0, {"pipes": "2 0"}, [("make", 2)]),
    ("bash", "make | cat", 0, {"pipes": "2"}, []),
    ("bash", "make | cat", 0, {}, []),
    ("bash", "mypy; make 5", 5, {"functions": "mypy"}, []),
    ("bash", "mypy; make 5", 5, {"functions": "make"}, []),
    ("bash", "make &>/dev/null", 2, {"first": "make &> /dev/null"}, [("make &>/dev/null", 2)]),
    ("zsh", "t 5", 5, {"run": "make 5"}, [("make 5", 5)]),
    ("zsh", "t $(x)", 5, {"run": "make 5"}, []),
    ("zsh", "make *.c", 1, {}, []),
    ("zsh", "make $x", 3, {"options": "u"}, []),
    ("zsh", " make", 0, {}, []),
    ("fish", "make *.c", 124, {}, []),
    ("fish", "make", 124, {}, [("make", 124)]),
    ("fish", "make; and make", 0, {}, []),
    ("fish", "make 'a\\'; b'", 2, {}, [("make 'a\\'; b'", 2)]),
)


@pytest.mark.parametrize(("shell", "line", "code", "more", "expected"), SAID)
def test_what_a_line_says(
    shell: str, line: str, code: int, more: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    assert said(shell, line, code, **more) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"line": 3, "code": 0, "seconds": 0, "cwd": "/"},
        {"line": "make", "code": "0", "seconds": 0, "cwd": "/"},
        {"line": "make"},
        {**LINE, "unheard": 1},
        {**LINE, "aliases": ["a"]},
    ],
)
def test_a_line_of_another_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        outcomes_of(event(body))


def test_a_line_of_an_unknown_shell_is_refused() -> None:
    with pytest.raises(ValueError, match="the shell 'csh'"):
        outcomes_of(event(LINE, "csh"))


# --- into the store ------------------------------------------------------------------------------


def test_only_what_is_told_is_stored_and_only_once(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    secret = "mysql --user=me hunter2hunter2"
    bodies = (
        LINE | {"first": "mypy"},
        LINE | {"line": f"{secret}; pytest", "first": secret},
        LINE | {"line": f"pytest; {secret}", "first": "pytest"},
    )
    file = spool / "bash-999999999-1.jsonl"
    lines = [
        {"v": 1, "id": f"L{n}", "ts": "2026-01-01T00:00:00Z", "kind": "outcome"}
        | {"source": "bash", "project": "/p", "body": body}
        for n, body in enumerate(bodies)
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    shutil.copy(file, tmp_path / "again.jsonl")
    with open_store(tmp_path / "db") as store:
        first = take(store, spool)
        shutil.copy(tmp_path / "again.jsonl", spool / "bash-999999999-2.jsonl")
        again = take(store, spool)
        rows = store.rows("SELECT id, command FROM commands ORDER BY id")
    assert (first.count, first.bad, again.count, again.repeated) == (3, 0, 0, 3)
    assert [tuple(row) for row in rows] == [("L0", "mypy"), ("L0.1", "pytest"), ("L1", "pytest")]
    held = b"".join(path.read_bytes() for path in tmp_path.glob("db*"))
    assert b"hunter2" not in held


def take(store: Store, spool: Path) -> Drained:
    return drain(store, spool, decode=decode, suggest=lambda _: (), outcomes=outcomes_of, now=2e9)
