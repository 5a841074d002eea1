"""`last` is the last answer that a person saw, whatever editors and clients asked for since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.records import Event, Message
from qi_learn.store import feedback, ratings, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.seen_turns import newest_turn
from tests.support.recorded_home import a_turn
from tests.support.redacted import as_redacted

UNSEEN: dict[str, dict[str, Any]] = {
    "a completion in the middle of a line": {
        "endpoint": "/api/generate",
        "messages": (Message("prompt", "def add("),),
        "request": {"suffix": ")\n"},
        "answer": "a, b",
    },
    "a raw completion": {
        "endpoint": "/v1/completions",
        "messages": (Message("prompt", "def add("),),
        "answer": "a, b):",
    },
    "a title": {"question": "Create a concise title for this conversation", "answer": "Adding"},
    "a refusal": {"status": 404, "answer": ""},
    "one that was cancelled": {"cancelled": True},
    "a call of a tool alone": {"answer": "", "answer_extra": {"tool_calls": [{"id": "c1"}]}},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


def save(store: Store, id: str, at: float, **more: Any) -> None:
    turns.save_turn(store, as_redacted(a_turn(id, at=at, project="/p", **more)))


@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_nobody_saw_is_not_the_last_answer(store: Store, unseen: str) -> None:
    save(store, "SEEN", 100.0)
    save(store, "UNSEEN", 200.0, **UNSEEN[unseen])
    assert newest_turn(store, "/p", before=300.0) == "SEEN"
    body = {"turn": "last", "rating": 1}
    event = Event("R1", "rating", 300.0, "cli", body, "person", "/p")
    assert ratings.save_rating(store, as_redacted(event)) == "SEEN"
    assert feedback.load_feedback(store, "UNSEEN").rating is None


def test_where_nobody_saw_any_there_is_no_last(store: Store) -> None:
    for n, more in enumerate(UNSEEN.values()):
        save(store, f"T{n}", 100.0 + n, **more)
    assert newest_turn(store, "/p", before=300.0) is None


def test_a_prompt_that_a_client_rendered_itself_is_a_question(store: Store) -> None:
    prompt = "<|im_start|>user\nWrite add.<|im_end|>\n<|im_start|>assistant\n"
    raw: dict[str, Any] = {"endpoint": "/api/generate", "request": {"raw": True}}
    save(store, "RAW", 100.0, messages=(Message("prompt", prompt),), **raw)
    assert newest_turn(store, "/p", before=300.0) == "RAW"


def test_a_day_of_completions_does_not_hide_it(store: Store) -> None:
    save(store, "SEEN", 100.0)
    made = a_turn("C", at=0.0, project="/p", **UNSEEN["a completion in the middle of a line"])
    with store.transaction():
        for n in range(300):
            each = replace(made, id=f"C{n}", started=200.0 + n, ended=200.5 + n)
            turns.save_turn(store, as_redacted(each))
    assert newest_turn(store, "/p", before=900.0) == "SEEN"
