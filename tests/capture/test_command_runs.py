"""A pass is remembered, and a failure is blamed on what changed since the last pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.command_kind import kind_of
from qi_learn.capture.joined_outcome import CommandRuns, join_new_commands
from qi_learn.records import CommandResult, Message, Outcome, Suggestion, Turn
from qi_learn.step_guard import StepGuard
from qi_learn.store import command_results, feedback, turns
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted

ROOT = "/home/me/work"
NOW = 1_790_000_000.0


class Story:
    """Suggestions that were placed and commands that ran, seconds after NOW."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._count = 0

    def placed(self, file: str, at: float, touched: float | None = None) -> str:
        self._count += 1
        turn = Turn(
            f"t{self._count}",
            "/api/chat",
            "m",
            "m",
            (Message("user", f"q{self._count}"),),
            "a",
            NOW + at - 2,
            NOW + at - 1,
            project=ROOT,
        )
        turns.save_turn(self.store, as_redacted(turn))
        suggestion = Suggestion(
            turn.id,
            0,
            "code",
            0,
            4,
            state="placed",
            file=file,
            region="code",
            similarity=1.0,
            placed_at=NOW + at,
            touched_at=NOW + (at if touched is None else touched),
        )
        feedback.save_suggestions(self.store, as_redacted([suggestion]))
        return turn.id

    def ran(self, at: float, command: str, code: int = 0, cwd: str = "", **more: Any) -> None:
        self._count += 1
        given: dict[str, Any] = {"kind": kind_of(command.split()), "seconds": 1.0, **more}
        result = CommandResult(
            f"c{self._count:03}",
            NOW + at,
            ROOT,
            command=command,
            exit_code=code,
            cwd=f"{ROOT}/{cwd}".rstrip("/"),
            **given,
        )
        command_results.save_command(self.store, as_redacted(result))

    def outcome(self, turn: str) -> Outcome:
        list(join_new_commands(self.store, CommandRuns(), StepGuard(), 10))
        return feedback.load_outcome(self.store, turn)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with open_store(tmp_path / "qi.db") as store:
        yield Story(store)


def test_another_suggestions_breakage_is_not_booked_on_a_settled_one(story: Story) -> None:
    settled = story.placed("web/table.ts", 10)
    story.ran(30, "npx tsc", 0, "web")
    broken = story.placed("web/chart.ts", 100)
    story.ran(130, "npx tsc", 2, "web")
    assert story.outcome(settled).compiles is True
    assert story.outcome(broken).compiles is False


def test_tests_of_one_part_of_a_monorepo_say_nothing_of_another(story: Story) -> None:
    backend = story.placed("backend/app.py", 10)
    frontend = story.placed("frontend/app.ts", 10)
    story.ran(30, "npm test", 0, "frontend")
    assert story.outcome(backend).tests_pass is None
    assert story.outcome(frontend).tests_pass is True


def test_a_failure_in_another_part_is_not_mine_though_the_words_are_the_same(story: Story) -> None:
    story.ran(-50, "pytest -q", 0, "pkg_a")
    story.ran(-40, "pytest -q", 1, "pkg_b")
    mine = story.placed("pkg_a/mean.py", 10)
    story.ran(30, "pytest -q", 1, "pkg_b")
    assert story.outcome(mine).tests_pass is None
    story.ran(40, "pytest -q", 0, "pkg_a")
    assert story.outcome(mine).tests_pass is True


def test_tests_that_cannot_import_the_file_give_it_no_credit(story: Story) -> None:
    mine = story.placed("mean.py", 10)
    workflow = story.placed(".github/workflows/ci.yaml", 10)
    story.ran(30, "pytest tests/test_unrelated.py")
    assert story.outcome(mine).tests_pass is None
    story.ran(40, "pytest -q", passed=3, failed=0, tests=("test_a.py",), loaded=("csv.py",))
    assert story.outcome(mine).tests_pass is None
    story.ran(50, "pytest -q", passed=3, failed=0, tests=("test_a.py",), loaded=("mean.py",))
    assert story.outcome(mine).tests_pass is True
    assert story.outcome(workflow).tests_pass is None


def test_what_failed_before_it_came_is_not_blamed_on_it(story: Story) -> None:
    story.ran(-90, "pytest")
    story.ran(-50, "pytest", 1)
    mine = story.placed("mean.py", 10)
    story.ran(30, "pytest", 1)
    assert story.outcome(mine).tests_pass is None


def test_only_what_changed_before_the_first_failure_is_blamed(story: Story) -> None:
    first = story.placed("mean.py", 10)
    story.ran(30, "pytest", 0)
    second = story.placed("median.py", 40)
    story.ran(50, "pytest", 1)
    third = story.placed("mode.py", 60)
    story.ran(70, "pytest", 1)
    assert story.outcome(first).tests_pass is True
    assert story.outcome(second).tests_pass is False
    assert story.outcome(third).tests_pass is None


def test_blame_ends_with_the_pass_after_it(story: Story) -> None:
    story.ran(-50, "pytest", 0)
    mine = story.placed("mean.py", 10)
    story.ran(30, "pytest", 1)
    assert story.outcome(mine).tests_pass is False
    story.ran(40, "pytest", 0)
    assert story.outcome(mine).tests_pass is True


def test_a_new_failing_test_among_old_ones_is_blamed(story: Story) -> None:
    story.ran(-50, "pytest", 1, failed=1, passed=5, failing=("test_a.py::test_old",))
    mine = story.placed("mean.py", 10)
    failing = ("test_a.py::test_old", "test_a.py::test_new")
    story.ran(30, "pytest", 1, failed=2, passed=4, failing=failing)
    assert story.outcome(mine).tests_pass is False


def test_a_test_that_fails_no_more_is_a_pass_though_others_still_fail(story: Story) -> None:
    failing = ("test_a.py::test_old", "test_a.py::test_mean")
    story.ran(-50, "pytest", 1, failed=2, passed=4, failing=failing)
    mine = story.placed("mean.py", 10)
    story.ran(30, "pytest", 1, failed=1, passed=5, failing=failing[:1])
    assert story.outcome(mine).tests_pass is True


def test_the_same_tests_failing_as_before_say_nothing(story: Story) -> None:
    failing = ("test_a.py::test_old",)
    story.ran(-50, "pytest", 1, failed=1, passed=4, failing=failing)
    mine = story.placed("mean.py", 10)
    story.ran(30, "pytest", 1, failed=1, passed=5, failing=failing)
    assert story.outcome(mine).tests_pass is None


def test_a_run_that_a_shell_and_the_plug_in_tell_is_one(story: Story) -> None:
    mine = story.placed("mean.py", 10)
    story.ran(31, "pytest -q", 0, seconds=2.0)
    story.ran(30.5, "pytest -q", 0, failed=0, passed=0, tests=(), loaded=())
    assert story.outcome(mine).tests_pass is None


def test_ctrl_c_says_nothing(story: Story) -> None:
    story.ran(-50, "go test ./...", 0)
    mine = story.placed("mean.go", 10)
    story.ran(30, "go test ./...", 1, interrupted=True)
    assert story.outcome(mine).tests_pass is None
    story.ran(40, "go test ./...", 1)
    assert story.outcome(mine).tests_pass is False


def test_a_damaged_list_is_unknown(story: Story) -> None:
    mine = story.placed("mean.py", 10)
    story.ran(30, "pytest", passed=1, failed=0)
    story.store.execute("UPDATE commands SET loaded = 'no JSON', tests = '3'")
    assert story.outcome(mine).tests_pass is True
