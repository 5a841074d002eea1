"""What the hooks say of whole lines: the truth, or nothing.

Every line is typed into real shells. What a line records is compared with the table, and each
recorded exit code with what the recorded command itself ends with when it is run alone, in the
recorded directory.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qi_learn.records import Event
from tests.support.terminals import Terminal, environment, events, make_home, need

Told = tuple[tuple[str, int], ...]
NOTHING: Told = ()
ALONE: Sequence[tuple[str, Told]] = (
    ("pytest", (("pytest", 0),)),
    ("pytest 3", (("pytest 3", 3),)),
    ("pytest 3", (("pytest 3", 3),)),
    ("pytest '1' \"2 3\"", (("pytest '1' \"2 3\"", 1),)),
    ("nice pytest 3", (("nice pytest 3", 3),)),
    ("env A=b pytest 4", (("env A=b pytest 4", 4),)),
    ("A=b pytest 4", (("A=b pytest 4", 4),)),
    ("pytest 0 'a b;UID=c'", (("pytest 0 'a b;UID=c'", 0),)),  # bash and zsh let no one set UID
    ("pytest 0 UID=c", (("pytest 0 UID=c", 0),)),
    ("pytest 0 'a;b' \"c|d&\"", (("pytest 0 'a;b' \"c|d&\"", 0),)),
    ("pytest 0 \"a'b;c\" 'd\"|e'", (("pytest 0 \"a'b;c\" 'd\"|e'", 0),)),
    ('pytest 0 \'a;b\' "c\\"|d"', (('pytest 0 \'a;b\' "c\\"|d"', 0),)),
    ("pytest 3;", (("pytest 3", 3),)),
    ("pytest 2 >/dev/null 2>&1", (("pytest 2 >/dev/null 2>&1", 2),)),
    ("pytest 1 > out.txt", NOTHING),  # 1 is also: the file cannot be written
    ("pytest 2 > out.txt", (("pytest 2 > out.txt", 2),)),
    ("pytest 0 > /nonexistent/out", NOTHING),
    ("pytest 0 < /nonexistent/in", NOTHING),
    ("pytest 0 > $NOT_SET", NOTHING),
    ('pytest 0 < "$NOT_SET"', NOTHING),
    ("pytest 0 2> ''", NOTHING),
    ("pytest 0 2>&9", NOTHING),  # nothing is open there
    ("pytest $HOME", (("pytest $HOME", 2),)),
    ("ls-like 1", NOTHING),
    ("sh -c 'pytest 3'", NOTHING),
)
"""Lines of one command."""
LISTS: Sequence[tuple[str, Told]] = (
    ("true && pytest", (("pytest", 0),)),
    ("true && pytest 6", NOTHING),  # which of the two was it?
    ("cd web && npm test 3", (("npm test 3", 3),)),  # the directory changed: cd passed
    ("cd .. && npm test", (("npm test", 0),)),
    ("cd . && npm test 3", NOTHING),
    ("cd nope && npm test 1", NOTHING),
    ("cd web && cd nope && npm test 1", NOTHING),
    ("cd ..; npm test 3", (("npm test 3", 3),)),
    ("mypy && pytest", (("mypy", 0), ("pytest", 0))),
    ("mypy 3 && pytest", NOTHING),
    ("mypy && pytest 3", NOTHING),
    ("mypy && true && pytest", (("pytest", 0),)),
    ("pytest 5; true", NOTHING),
    ("true; pytest 5", (("pytest 5", 5),)),
    ("false; pytest", (("pytest", 0),)),
    ("mypy 2; pytest 5", (("pytest 5", 5),)),
    ("make >/dev/null 2>/dev/null; pytest 5", (("pytest 5", 5),)),
    ("make 1>/dev/null 2>/dev/null; pytest 5", (("pytest 5", 5),)),
    ("make 0</dev/null; pytest 5", (("pytest 5", 5),)),
    ("mypy 2>&1 >/dev/null && pytest 2>&1", (("mypy 2>&1 >/dev/null", 0), ("pytest 2>&1", 0))),
    ("mypy 2; false && pytest 5", NOTHING),
    ("echo *.nope; pytest 1", NOTHING),  # ends the line in zsh, and in bash with failglob
    ("pytest 3 || true", NOTHING),
    ("true || pytest 3", NOTHING),
    ("pytest 4 | cat", (("pytest 4", 4),)),
    ("pytest 4 | head -1", NOTHING),  # a reader that may go before the end
    ("pytest | head -1", (("pytest", 0),)),
    ("true | pytest 3", (("pytest 3", 3),)),
    ("pytest 3 | mypy 4 | cat", (("mypy 4", 4),)),  # mypy may go before the end
    ("pytest | mypy 4 | cat", (("pytest", 0), ("mypy 4", 4))),
    ("true && pytest | cat", (("pytest", 0),)),
    ("true && pytest 3 | cat", (("pytest 3", 3),)),  # 0 is cat's: so `true` passed
    ("pytest 3 |& cat", NOTHING),
    ("pytest 3 & wait", NOTHING),
    ("pytest 8 &", NOTHING),
)
"""Lists and pipelines, which bash and zsh read alike."""
COMPOUND: Sequence[str] = (
    "! pytest 2",
    "! pytest",
    "if pytest 6; then :; fi",
    "if true; then pytest 3; fi",
    "while pytest 1; do break; done",
    "until pytest; do :; done",
    "for i in 1 2; do pytest $i; done",
    "case x in x) pytest 3;; esac",
    "(pytest 7)",
    "(pytest 7; true)",
    "{ pytest 7; true; }",
    "pytest $(echo 9)",
    "pytest `echo 9`",
    "pytest <(echo)",
    "pytest 3 <<<x",
    "x=$(pytest 3)",
    "f() { pytest 3; }",
    "f; true",
    "eval pytest 3",
    "command pytest 3",
    "pytest 3 # a comment",
    "time (pytest 3)",
    "[[ -n x ]] && pytest 3",
)
"""Lines of bash and zsh that say nothing."""
NOT_FISH = ("pytest 3 |& cat",)
FISH: Sequence[tuple[str, Told]] = (
    ("not pytest 2", NOTHING),
    ("! pytest 2", NOTHING),
    ("if pytest 6; end", NOTHING),
    ("while pytest 1; break; end", NOTHING),
    ("for i in 1 2; pytest $i; end", NOTHING),
    ("begin; pytest 7; true; end", NOTHING),
    ("pytest (echo 9)", NOTHING),
    ("pytest $(echo 9)", NOTHING),
    ("function f; pytest 3; end", NOTHING),
    ("f", NOTHING),
    ("eval pytest 3", NOTHING),
    ("command pytest 3", NOTHING),
    ("builtin echo; and pytest 3", NOTHING),
    ("true; and pytest", NOTHING),
    ("false; or pytest", NOTHING),
    ("pytest *.nope", NOTHING),
    ("pytest 0 > *.nope", NOTHING),  # 2 is also: no such place to write to
    ("pytest 0 >&out.txt", NOTHING),
    ("true; pytest 0 >>$NOT_SET", NOTHING),
    ("pytest 0 2>$NOT_SET | cat", NOTHING),
    ("pytest 2 > out.txt 'a b'", (("pytest 2 > out.txt 'a b'", 2),)),
    ("pytest $nope[1 2]", NOTHING),
    ("pytest 3 &", NOTHING),
    ("pytest 3 # a comment", NOTHING),
    ("time pytest 3", (("time pytest 3", 3),)),
)
TABLES: dict[str, Sequence[tuple[str, Told]]] = {
    "bash": (*ALONE, *LISTS, *((line, NOTHING) for line in COMPOUND)),
    "zsh": (*ALONE, *LISTS, *((line, NOTHING) for line in COMPOUND)),
    "fish": (*ALONE, *(row for row in LISTS if row[0] not in NOT_FISH), *FISH),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


class Recorded:
    """What each line that is typed adds to the spool."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.seen = {event.id for event in events(terminal.home)}

    def type(self, line: str) -> tuple[Event, ...]:
        self.terminal.type(line)
        new = [event for event in events(self.terminal.home) if event.id not in self.seen]
        self.seen |= {event.id for event in new}
        return tuple(sorted(new, key=lambda event: event.ts))

    def said(self, line: str) -> Told:
        return told(self.type(line))


def told(new: Sequence[Event]) -> Told:
    return tuple((e.body["command"], e.body["exit_code"]) for e in new)


def alone(shell: str, home: Path, event: Event) -> int:
    """The exit code of the recorded command when it is run by itself, in its directory."""
    return subprocess.run(
        [shell, "-c", event.body["command"]],
        env=environment(home),
        cwd=event.body["cwd"],
        capture_output=True,
        check=False,
    ).returncode


@pytest.fixture(params=["bash", "zsh", "fish"])
def recorded(request: pytest.FixtureRequest, home: Path) -> Iterator[Recorded]:
    terminal = Terminal(need(str(request.param)), home)
    yield Recorded(terminal)
    terminal.close()


def test_a_line_says_the_truth_or_nothing(recorded: Recorded, home: Path) -> None:
    wrong = []
    shell = recorded.terminal.shell
    for line, expected in TABLES[shell]:
        new = recorded.type(line)
        if told(new) != expected:
            wrong.append((line, told(new), expected))
        for event in new:
            assert alone(shell, home, event) == event.body["exit_code"], line
    assert wrong == []
