"""Many answers that say almost the same wait for one place in a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon.following import follow_save
from qi_learn.records import Message, Turn
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.track.suggestions import suggestions_of
from qi_learn.track.survival import CLOSELY
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.file_history import FileHistory
from tests.support.redacted import as_redacted

COUNT = 3 * CLOSELY
PROJECT = "/project"
NOW = time.time()


def code(n: int) -> str:
    said = "sum(p * r for p, r in zip(prices, rates))"
    return f"def total_{n}(prices, rates):\n    return {said} + {n}\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        for n in range(COUNT):
            turn = Turn(
                *(f"T{n:04d}", "/api/chat", "m", "m", (Message("user", "Write it."),)),
                f"```python\n{code(n)}```",
                started=NOW - 500 + n / 10,
                ended=NOW - 499 + n / 10,
                project=PROJECT,
            )
            turns.save_turn(opened, as_redacted(turn))
            feedback.save_suggestions(opened, as_redacted(suggestions_of(turn)))
        yield opened


def save(store: Store, text: str, name: str = "a.py") -> None:
    history = FileHistory("", window=1800.0)
    history.record(NOW - 100, text)
    follow_save(
        store,
        FileSaved(PROJECT, Path(PROJECT) / name, text, NOW - 100),
        history,
        CaptureSettings(),
        NOW,
    )


def placed(store: Store) -> list[str]:
    return [
        f"T{n:04d}"
        for n in range(COUNT)
        if feedback.suggestions_of(store, f"T{n:04d}")[0].state == "placed"
    ]


@pytest.mark.parametrize("n", [0, COUNT // 2, COUNT - 1])
def test_the_one_that_was_pasted_is_found_however_many_wait(store: Store, n: int) -> None:
    save(store, code(n))
    assert placed(store) == [f"T{n:04d}"]
    others = [feedback.suggestions_of(store, f"T{m:04d}")[0] for m in range(COUNT) if m != n]
    assert {(s.state, s.touched_at) for s in others} == {("waiting", None)}, "none is passed by"


def test_two_that_were_pasted_are_both_found(store: Store) -> None:
    save(store, code(3) + "\n\n" + code(COUNT - 3))
    assert placed(store) == ["T0003", f"T{COUNT - 3:04d}"]


def test_one_that_was_edited_is_still_placed_once(store: Store) -> None:
    save(store, code(7).replace("prices, rates", "prices, rates, limit"))
    assert len(placed(store)) == 1
