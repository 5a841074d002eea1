"""What many runs covered is compared with a file that is read once, one file a step."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.capture.joined_outcome import CommandRuns, join_new_commands
from qi_learn.records import CommandResult, Message, Suggestion, Turn
from qi_learn.step_guard import StepGuard
from qi_learn.store import command_results, feedback, turns
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted

NOW = 1_790_000_000.0
FILES, EACH, RUNS = 3, 4, 20


def code(n: int) -> str:
    return f"def price_{n}(bill):\n    rest = bill.total - {n}\n    return rest\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Files of 3,000 functions that did not change since the commands began."""
    for n in range(FILES):
        (tmp_path / f"bills_{n}.py").write_text("\n\n".join(code(k) for k in range(3000)))
        os.utime(tmp_path / f"bills_{n}.py", (NOW - 500, NOW - 500))
    return tmp_path


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    """A turn for each file, and runs that ran its first function alone."""
    with open_store(project / "qi.db") as opened:
        for n in range(FILES):
            asked = (Message("user", f"q{n}"),)
            turn = Turn(*(f"t{n}", "/api/chat", "m", "m", asked, "a"), NOW - 400, NOW - 399)
            turns.save_turn(opened, as_redacted(turn))
            opened.execute("UPDATE turns SET project = ? WHERE id = ?", (str(project), turn.id))
            made = [_placed(turn.id, k, f"bills_{n}.py") for k in range(EACH)]
            feedback.save_suggestions(opened, as_redacted(made))
        for n in range(RUNS):
            covered = tuple((f"bills_{k}.py", (1, 3), None) for k in range(FILES))
            result = CommandResult(
                *(f"c{n:02}", NOW + n, str(project), "test", "pytest", 0, 1.0),
                cwd=str(project),
                covered=covered,
            )
            command_results.save_command(opened, as_redacted(result))
        yield opened


def _placed(turn: str, k: int, file: str) -> Suggestion:
    return Suggestion(
        *(turn, k, code(k), 0, 1),
        state="placed",
        file=file,
        region=code(k).rstrip("\n"),
        placed_at=NOW - 390,
        touched_at=NOW - 390,
    )


def _unseen(store: Store) -> set[tuple[str, int]]:
    return {(row["turn_id"], row["ordinal"]) for row in store.rows("SELECT * FROM unseen")}


def test_a_file_is_read_and_parsed_once_for_all_runs(store: Store, project: Path) -> None:
    text = (project / "bills_0.py").read_text()
    began = time.perf_counter()
    ast.parse(text)
    once = time.perf_counter() - began
    began = time.perf_counter()
    steps = list(join_new_commands(store, CommandRuns(), StepGuard(), 10))
    assert time.perf_counter() - began < 20 * FILES * once
    assert _unseen(store) == {(f"t{n}", k) for n in range(FILES) for k in range(1, EACH)}
    assert steps == [set()] * FILES + [{f"t{n}" for n in range(FILES)}]


def test_what_is_forgotten_between_two_steps_is_left_out(store: Store) -> None:
    steps = join_new_commands(store, CommandRuns(), StepGuard(), 10)
    next(steps)
    store.execute("DELETE FROM turns WHERE id = 't1'")
    store.execute("DELETE FROM commands WHERE id = 'c03'")
    list(steps)
    assert {turn for turn, _ in _unseen(store)} == {"t0", "t2"}
