"""A result of tests speaks only for lines that they ran, if the run left a report of that."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qi_learn.capture.command_words import read_words
from qi_learn.capture.coverage_files import own_coverage
from qi_learn.capture.joined_outcome import CommandRuns, join_new_commands
from qi_learn.capture.outcome import run_command
from qi_learn.capture.unseen_lines import SourceLines
from qi_learn.commands.run import record_outcome
from qi_learn.paths import Paths
from qi_learn.records import Message, Suggestion, Turn
from qi_learn.results.line_coverage import FileLines, read_coverage
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import drain
from tests.support.redacted import as_redacted

DISCOUNT = '''\
def apply_discount(total, rate=RATE):
    """The total after a discount."""
    if rate > 1:
        raise ValueError(rate)
    return total * (
        1
        - rate
    )
'''
CART = """\
class Cart:
    def total(self):
        return math.fsum(
            item
            for item in self.items
        )
"""
SOURCE = f"import math\n\nRATE = 0.1\n\n\n{DISCOUNT}\n\n{CART}"
TESTS = (
    "from cart import apply_discount\n\n\ndef test_it():\n    assert apply_discount(100) == 90\n"
)
JSON = {
    "meta": {"format": 3, "version": "7.17.5"},
    "files": {
        "cart.py": {"executed_lines": [1, 3, 6, 8, 10, 16, 17], "missing_lines": [9, 18]},
    },
}
"""As coverage.py 7.17.5 wrote it of these tests, without its sums."""
LCOV = """\
TN:
SF:cart.py
DA:1,1
DA:8,2,aGFzaA
DA:9,0
FN:6,13,apply_discount
FNDA:1,apply_discount
end_of_record
SF:cart.py
DA:9,1
DA:18,0
end_of_record
"""
COBERTURA = """\
<?xml version="1.0" ?>
<coverage version="7.17.5" timestamp="1795922049596" line-rate="0.8">
  <sources><source>{root}</source></sources>
  <packages><package name="."><classes><class name="cart.py" filename="cart.py"><methods/><lines>
    <line number="8" hits="1"/><line number="9" hits="0"/>
  </lines></class></classes></package></packages>
</coverage>
"""
MADE_BY_SETUP = """\
import json, time
def pytest_sessionfinish(session):
    with open("coverage.json", "w") as file:
        json.dump({told!r}, file)
"""


def data_file(path: Path, source: Path, *, branches: bool) -> None:
    """A data file as coverage.py 7.17.5 makes it."""
    with closing(sqlite3.connect(path)) as data:
        data.execute("CREATE TABLE file (id integer primary key, path text)")
        data.execute("CREATE TABLE line_bits (file_id integer, context_id integer, numbits blob)")
        data.execute("CREATE TABLE arc (file_id, context_id, fromno integer, tono integer)")
        data.execute("INSERT INTO file VALUES (1, ?)", (str(source),))
        if branches:
            arcs = [(1, 1, -1, 1), (1, 1, 1, 8), (1, 1, 8, 10), (1, 1, 10, -6)]
            data.executemany("INSERT INTO arc VALUES (?, ?, ?, ?)", arcs)
        else:
            bits = bytes([0b10, 0b101])  # lines 1, 8 and 10
            data.execute("INSERT INTO line_bits VALUES (1, 1, ?)", (bits,))
        data.commit()


# --- reports --------------------------------------------------------------------------------------


def test_coverage_pys_json_is_read() -> None:
    found = read_coverage(json.dumps(JSON))
    assert found == {"cart.py": FileLines(frozenset({1, 3, 6, 8, 10, 16, 17}), frozenset({9, 18}))}


def test_lcov_is_read_and_a_file_that_comes_twice_is_one() -> None:
    found = read_coverage(LCOV)
    assert found == {"cart.py": FileLines(frozenset({1, 8, 9}), frozenset({18}))}


def test_cobertura_is_read_from_its_source() -> None:
    found = read_coverage(COBERTURA.format(root="/work"))
    assert found == {"/work/cart.py": FileLines(frozenset({8}), frozenset({9}))}


@pytest.mark.parametrize(
    "text",
    [
        '{"files": {"a.py": {"executed_lines": [-Infinity], "missing_lines": []}}}',
        *("", "{}", '{"files": 3}', '{"files": {"a": {}}}', "<coverage", "<a/>", "SF", "[1]"),
        '<!DOCTYPE c [<!ENTITY x "y">]><coverage/>',
        '{"files": {"a.py": {"executed_lines": ["x"], "missing_lines": []}}}',
    ],
)
def test_what_is_no_report_says_nothing(text: str) -> None:
    assert not read_coverage(text)


@pytest.mark.parametrize("branches", [True, False])
def test_the_data_file_of_coverage_py_is_read(tmp_path: Path, branches: bool) -> None:
    (tmp_path / "cart.py").write_text(SOURCE)
    data_file(tmp_path / ".coverage", tmp_path / "cart.py", branches=branches)
    found = own_coverage(read_words(["pytest", "--cov"]), tmp_path, time.time() - 60)
    assert found == (("cart.py", (1, 1, 8, 8, 10, 10), None),)


def test_only_what_was_written_while_it_ran_counts(tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text(SOURCE)
    (tmp_path / "coverage.json").write_text(json.dumps(JSON))
    began = time.time() - 60
    assert own_coverage(read_words(["pytest"]), tmp_path, began) is not None
    os.utime(tmp_path / "coverage.json", (began - 600, began - 600))
    assert own_coverage(read_words(["pytest"]), tmp_path, began) is None


def test_a_file_that_did_not_change_lately_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text(SOURCE)
    os.utime(tmp_path / "cart.py", (1e9, 1e9))
    (tmp_path / "coverage.json").write_text(json.dumps(JSON))
    assert own_coverage(read_words(["pytest"]), tmp_path, time.time() - 60) == ()


def test_the_file_that_the_command_names_is_read(tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text(SOURCE)
    (tmp_path / "out.xml").write_text(COBERTURA.format(root=tmp_path))
    words = read_words(["pytest", "--cov", "--cov-report=xml:out.xml"])
    assert own_coverage(words, tmp_path, time.time() - 60) == (("cart.py", (8, 8), (9, 9)),)


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and no more", b"\xff\xfe", b"", b"{"])
def test_a_damaged_report_breaks_nothing(tmp_path: Path, content: bytes) -> None:
    for name in (".coverage", "coverage.json", "lcov.info"):
        (tmp_path / name).write_bytes(content)
    assert own_coverage(read_words(["pytest"]), tmp_path, time.time() - 60) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coverage.json", '{"files": {"a": {"executed_lines": [Infinity], "missing_lines": []}}}'),
        ("coverage.json", '{"files": {"\\ud800": {"executed_lines": [1], "missing_lines": []}}}'),
        ("lcov.info", "TN:\nSF:cart\0.py\nDA:1,1\nend_of_record\n"),
    ],
    ids=["a number without end", "half a character", "a name that no file has"],
)
def test_a_report_that_no_tool_writes_takes_no_result_away(
    tmp_path: Path, name: str, content: str
) -> None:
    """The command's exit code is the person's, whatever it left behind."""
    (tmp_path / "told").write_text(content)
    argv = ["sh", "-c", f"cp told {name}; exit 3"]
    result, _ = run_command(argv, project=str(tmp_path), kind="test", cwd=tmp_path)
    assert (result.exit_code, result.covered or None) == (3, None)


def test_a_data_file_that_names_no_file_takes_no_result_away(tmp_path: Path) -> None:
    data_file(tmp_path / "told", tmp_path, branches=True)
    with closing(sqlite3.connect(tmp_path / "told")) as data:
        data.execute("UPDATE file SET path = NULL")
        data.commit()
    argv = ["sh", "-c", "cp told .coverage; exit 3"]
    result, _ = run_command(argv, project=str(tmp_path), kind="test", cwd=tmp_path)
    assert (result.exit_code, result.covered or None) == (3, None)


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "missed", "unseen"),
    [
        (DISCOUNT, (9, 9, 18, 18), False),
        (CART, (9, 9, 18, 18), True),
        (CART, None, True),
        (DISCOUNT, None, False),
        ("    def total(self):\n        return math.fsum(", (18, 18), True),
        ("        raise ValueError(rate)", (9, 9, 18, 18), True),
        ("RATE = 0.1", None, False),
        ("class Cart:", (18, 18), False),
        ("not in the file", (18, 18), False),
        ("", (18, 18), False),
    ],
)
def test_lines_are_unseen_if_they_could_run_and_none_did(
    region: str, missed: tuple[int, ...] | None, unseen: bool
) -> None:
    ran = (1, 1, 3, 3, 6, 6, 8, 8, 10, 12, 16, 17)
    assert SourceLines(SOURCE, python=True).is_unseen(region.rstrip("\n"), ran, missed) is unseen


@pytest.mark.parametrize(("ran", "unseen"), [((30, 10**15), True), ((0, 10**15), False)])
def test_ranges_longer_than_any_file_are_compared_at_once(
    ran: tuple[int, ...], unseen: bool
) -> None:
    """A run that came back in a file of a person's may say what it likes."""
    assert SourceLines(SOURCE, python=True).is_unseen(CART.rstrip("\n"), ran, (0, 10**15)) is unseen


def test_lines_that_stand_there_twice_are_not_told_apart() -> None:
    source = SourceLines("def a():\n    x = 1\n\ndef b():\n    x = 1\n", python=True)
    assert not source.is_unseen("    x = 1", (), None)


def test_without_missed_lines_only_pythons_statements_could_run() -> None:
    source = SourceLines("function f() {\n  total += 1;\n}\n", python=False)
    assert not source.is_unseen("  total += 1;", (1, 1), None)


# --- a run, to the outcome ------------------------------------------------------------------------


class Work:
    """A project with two suggestions in a file, and a run of its tests taken in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        (root / "cart.py").write_text(SOURCE)
        (root / "test_cart.py").write_text(TESTS)
        past = time.time() - 100
        os.utime(root / "cart.py", (past, past))
        self.paths = Paths.under(root.parent / "home").ensure()

    def suggest(self, store: Store, id: str, code: str) -> None:
        at = time.time() - 200
        turns.save_turn(
            store,
            as_redacted(
                Turn(
                    *(id, "/api/chat", "m", "m", (Message("user", id),), code),
                    started=at,
                    ended=at + 1,
                    project=str(self.root),
                )
            ),
        )
        made = Suggestion(
            *(id, 0, code, 0, len(code)),
            state="placed",
            file="cart.py",
            region=code.rstrip("\n"),
            placed_at=at + 5,
            touched_at=at + 5,
        )
        feedback.save_suggestions(store, as_redacted([made]))

    def run(self) -> None:
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        result, _ = run_command(argv, project=str(self.root), cwd=self.root)
        assert (result.exit_code, result.kind) == (0, "test")
        assert record_outcome(self.paths, result) == ""

    def join(self, store: Store) -> None:
        drain(store, self.paths.spool, decode=_no_turn, suggest=lambda _: (), now=time.time())
        for _ in join_new_commands(store, CommandRuns(), StepGuard(), 10):
            pass


def _no_turn(event: object) -> Turn:
    raise ValueError(event)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


@pytest.fixture
def store(work: Work) -> Iterator[Store]:
    with open_store(work.paths.database) as opened:
        work.suggest(opened, "RAN", DISCOUNT)
        work.suggest(opened, "NOT", CART)
        yield opened


def _passed(store: Store) -> list[bool | None]:
    return [feedback.load_outcome(store, id).tests_pass for id in ("RAN", "NOT")]


def test_a_pass_is_of_the_lines_that_ran(work: Work, store: Store) -> None:
    (work.root / "conftest.py").write_text(MADE_BY_SETUP.format(told=JSON))
    work.run()
    work.join(store)
    assert _passed(store) == [True, None]
    assert store.row("SELECT covered FROM commands")["covered"] is None  # type: ignore[index]
    assert "covered" not in store.row("SELECT body FROM events")["body"]  # type: ignore[index]
    (work.root / "cart.py").write_text("")
    feedback.mark_dirty(store, "NOT")
    store.execute("UPDATE commands SET joined = 0")
    work.join(store)
    assert _passed(store) == [True, None], "what was said stays, whatever the file has now"


def test_without_a_report_a_pass_is_of_the_whole_file(work: Work, store: Store) -> None:
    work.run()
    work.join(store)
    assert _passed(store) == [True, True]


def test_a_file_that_was_saved_after_the_run_is_not_told_by_lines(work: Work, store: Store) -> None:
    (work.root / "conftest.py").write_text(MADE_BY_SETUP.format(told=JSON))
    work.run()
    (work.root / "cart.py").write_text(f"# Carts.\n{SOURCE}")
    work.join(store)
    assert _passed(store) == [True, True]


def test_a_file_that_the_report_has_not_is_as_without_one(work: Work, store: Store) -> None:
    told = {**JSON, "files": {"other.py": {"executed_lines": [1], "missing_lines": []}}}
    (work.root / "conftest.py").write_text(MADE_BY_SETUP.format(told=told))
    work.run()
    work.join(store)
    assert _passed(store) == [True, True]
