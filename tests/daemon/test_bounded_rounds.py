"""A round does a bounded part of what waits, and the next goes on: none is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon.background import Background
from qi_learn.daemon.classifying import AT_ONCE, Classifying
from qi_learn.daemon.scoring import JOINED_AT_ONCE, Scoring
from qi_learn.records import CommandResult, Message, Suggestion, Turn
from qi_learn.score.names_index import NamesIndex
from qi_learn.settings import ScoreSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store import command_results, feedback, outcome_evidence, turns
from qi_learn.store.database import Store, open_store
from tests.support.command_line import wait_until
from tests.support.redacted import as_redacted

OVER = float("-inf")
"""A time that has passed: a round does the least that it does."""
PROJECT = "/p"
NOW = 1000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "qi-learn.db") as store:
        yield store


def keep(store: Store, count: int) -> None:
    for n in range(count):
        asked = (Message("user", f"q {n}"),)
        code = f"x_{n} = 1\n"
        answer = f"```python\n{code}```"
        turn = Turn(f"T{n:04d}", "/api/chat", "m", "m", asked, answer, n, n + 1.0, project=PROJECT)
        turns.save_turn(store, as_redacted(turn))
        placed = Suggestion(
            *(turn.id, 0, code, 10, 20, "python", "placed", "a.py"),
            region=code,
            placed_at=NOW + n,
            touched_at=NOW + n,
        )
        feedback.save_suggestions(store, as_redacted([placed]))
        feedback.mark_dirty(store, turn.id)


def test_turns_are_classified_one_by_one_if_time_is_over(store: Store) -> None:
    keep(store, AT_ONCE + 3)
    classifying = Classifying(StepGuard())
    assert (classifying.classify(store, OVER), classifying.left) == (1, True)
    assert feedback.unclassified_turns(store)[0] == "T0001"
    far = time.monotonic() + 1000
    assert (classifying.classify(store, far), classifying.left) == (AT_ONCE, True)
    assert (classifying.classify(store, far), classifying.left) == (2, False)


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[tuple[Scoring, Background]]:
    background = Background("facts")
    index = NamesIndex(tmp_path / "names")
    yield Scoring(ScoreSettings(), index, background, StepGuard()), background
    background.close()


def test_a_result_is_joined_and_scored_in_parts_and_counts_when_all_is_joined(
    store: Store, scoring: tuple[Scoring, Background]
) -> None:
    count = 2 * JOINED_AT_ONCE + 1
    keep(store, count)
    Classifying(StepGuard()).classify(store, time.monotonic() + 1000)
    work, background = scoring

    def round_(over: float) -> int:
        done = {each.key: each.error or each.value for each in background.results()}
        work.keep_facts(store, done, NOW)
        return work.score(store, NOW, over)

    wait_until(lambda: round_(time.monotonic() + 1000) >= 0 and not work.pending)
    assert feedback.dirty_turns(store) == []

    ran = CommandResult("C", NOW + 500, PROJECT, "test", "pytest", 0, 0.5, cwd=PROJECT)
    command_results.save_command(store, as_redacted(ran))
    work.look_again()
    rounds = []
    while work.pending:
        rounds.append(round_(OVER))
        if len(rounds) == 2:
            assert outcome_evidence.new_commands(store), "it is not joined to all yet"
            passed = feedback.load_outcome(store, f"T{count - 1:04d}").tests_pass
            assert passed is None, "two steps do not reach the last turn"
    assert max(rounds) == JOINED_AT_ONCE + 1, "one step of each"
    assert outcome_evidence.new_commands(store) == []
    assert all(feedback.load_outcome(store, f"T{n:04d}").tests_pass for n in range(count))
    assert feedback.dirty_turns(store) == []


def test_a_turn_is_not_scored_before_it_has_its_classes(
    store: Store, scoring: tuple[Scoring, Background]
) -> None:
    keep(store, 1)
    work, _ = scoring
    work.score(store, NOW, OVER)
    assert not work.pending
    assert feedback.dirty_turns(store) == ["T0000"]
