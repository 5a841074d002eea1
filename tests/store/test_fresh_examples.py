"""The number of fresh examples that is kept between decisions: never another than a fresh count."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.records import Message, Score, Turn
from qi_learn.store import feedback
from qi_learn.store.candidates import (
    REST_SECONDS,
    FreshCount,
    FreshExamples,
    JudgedTurn,
    fresh_candidates,
    fresh_count,
    left_out,
    save_candidates,
    unjudged,
)
from qi_learn.store.database import Store, open_store
from qi_learn.store.runs import list_runs
from qi_learn.store.turns import save_turn
from tests.support.redacted import as_redacted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "qi-learn.db"


def _learnable(store: Store, n: int, key: str = "", *, own: bool = True) -> None:
    turn = Turn(
        f"T{n}", "/api/chat", "m", "m", (Message("user", f"q{n}"),), f"a{n}", 100.0 + n, 101.0 + n,
        session=f"s{n % 3}",
    )  # fmt: skip
    save_turn(store, as_redacted(turn))
    feedback.save_score(store, as_redacted(Score(turn.id, 0.6, 0.5, 0.9, "x")))
    judged = JudgedTurn(turn.id, key or f"k{n}", "", f"s{n % 3}", 0.9, turn.started, own)
    save_candidates(store, [judged])


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _agree(examples: FreshExamples, store: Store, learned: tuple[str, ...] = ()) -> int:
    count = examples.count(store, threshold=0.7, learned_runs=learned)
    each = examples.each(store, threshold=0.7, learned_runs=learned)
    assert count == fresh_count(store, threshold=0.7, learned_runs=learned)
    assert each == fresh_candidates(store, threshold=0.7, learned_runs=learned)
    assert (count.own, count.kept) == (sum(e.own for e in each), sum(not e.own for e in each))
    return count.own


def test_what_came_counts_at_once_where_it_is_said(path: Path) -> None:
    examples = FreshExamples(Clock())
    with open_store(path) as store, open_store(path) as other:
        assert _agree(examples, store) == 0
        for number, writer, key, expected in (
            (1, store, "", 1),
            (2, other, "", 2),  # by another connection
            (3, other, "k1", 2),  # the same example once more
        ):
            _learnable(writer, number, key)
            examples.outdate()
            assert _agree(examples, store) == expected
        assert examples.count(store, threshold=0.95, learned_runs=()) == FreshCount()
        assert _agree(examples, store, ("R1",)) == 2


def test_what_went_by_itself_counts_after_a_rest(path: Path) -> None:
    clock = Clock()
    examples = FreshExamples(clock)
    with open_store(path) as store:
        _learnable(store, 1)
        _learnable(store, 2)
        assert _agree(examples, store) == 2
        store.execute("DELETE FROM turns WHERE id = 'T2'")
        assert examples.count(store, threshold=0.7, learned_runs=()) == FreshCount(2)
        clock.now = REST_SECONDS + 1
        assert _agree(examples, store) == 1


def test_nothing_is_counted_while_nothing_is_written(path: Path) -> None:
    clock = Clock()
    examples, asked = FreshExamples(clock), list[str]()
    with open_store(path) as store:
        _learnable(store, 1)
        examples.each(store, threshold=0.7, learned_runs=())
        store.conn.set_trace_callback(asked.append)
        for _ in range(3):
            clock.now += 10 * REST_SECONDS
            assert len(examples.each(store, threshold=0.7, learned_runs=())) == 1
        assert {sql for sql in asked if "candidates" in sql} == set()
        _learnable(store, 2)
        assert examples.count(store, threshold=0.7, learned_runs=()) == FreshCount(2)
        assert any("candidates" in sql for sql in asked)


def test_what_was_kept_as_it_was_is_counted_apart(path: Path) -> None:
    examples = FreshExamples(Clock())
    with open_store(path) as store:
        for n, own in enumerate((True, False, False, True, False)):
            _learnable(store, n, own=own)
        _learnable(store, 5, "k1", own=True)  # the same as the second, in the person's own words
        assert _agree(examples, store) == 3
        assert examples.count(store, threshold=0.7, learned_runs=()) == FreshCount(3, 2)
        each = examples.each(store, threshold=0.7, learned_runs=())
        assert [e.key for e in each] == ["k0", "k2", "k3", "k4", "k1"]


def test_what_can_be_no_example_is_counted_by_reason(path: Path) -> None:
    with open_store(path) as store:
        for n, (reason, score) in enumerate([("a", 0.9), ("b", 0.8), ("b", 0.8), ("a", 0.3)] * 2):
            _learnable(store, n)
            save_candidates(store, [JudgedTurn(f"T{n}", None, reason, "s", score, 1.0, False)])
        assert list(left_out(store, threshold=0.7).items()) == [("b", 4), ("a", 2)]


def test_in_a_home_from_before_this_was_known_everything_is_looked_at_anew(path: Path) -> None:
    with open_store(path) as store:
        _learnable(store, 1)
        store.execute("INSERT INTO runs (id, state, started, updated, fresh) VALUES "
                      "('R', 'refused', 1, 2, 40)")  # fmt: skip
        store.execute("DELETE FROM _sqlite_migrations WHERE name LIKE 'm018%'")
        store.execute("DROP INDEX candidates_fit")
        store.execute("ALTER TABLE candidates DROP COLUMN own")
        store.execute(
            "CREATE INDEX candidates_fit ON candidates (started, turn_id, key, session, score) "
            "WHERE key IS NOT NULL"
        )
        store.execute("PRAGMA user_version = 16")
    with open_store(path) as store:
        assert fresh_count(store, threshold=0.7, learned_runs=()) == FreshCount()
        assert [turn.id for turn in unjudged(store, threshold=0.7, limit=9)] == ["T1"]
        (run,) = list_runs(store)
        assert run.fresh is None, "it counted what was kept as it was, too"
