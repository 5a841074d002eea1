"""Turns, ratings and suggestions as the tests of the store keep them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from qi_learn.records import (
    Event,
    Message,
    Score,
    Suggestion,
    Turn,
)
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from tests.support.redacted import as_redacted

QUESTION = Message("user", "Write add.")


ANSWER = "def add(a, b):\n    return a + b\n"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


SAID = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "tool", "prompt"]), TEXTS), max_size=5
)


def a_turn(
    id: str = "T1",
    *,
    messages: tuple[Message, ...] = (QUESTION,),
    answer: str = ANSWER,
    at: float = 100.0,
    **more: Any,
) -> Turn:
    return replace(
        Turn(id, "/api/chat", "asked:7b", "qi-agent:v1.1.0", messages, answer, at, at + 2.5), **more
    )


FULL = a_turn(
    messages=(
        Message("system", "Be brief."),
        Message("user", "héllo \u2028 \x00"),
        Message("tool", "", {"tool_name": "ls", "z": 1, "a": [1, {"b": None}]}),
    ),
    answer_extra={
        "thinking": "hm",
        "tool_calls": [{"function": {"name": "edit", "arguments": {"z": 1, "a": 2}}}],
    },
    model_digest="ab" * 32,
    options={"temperature": 0.2, "stop": ["\n\n"]},
    request={"format": "json", "think": False},
    status=200,
    cancelled=True,
    complete=False,
    done_reason="stop",
    prompt_tokens=17,
    answer_tokens=3,
    session="s1",
    project="/home/me/p",
    commit="c0ffee",
    context={"language": "python", "files": ["a.py"]},
)


def rating(
    id: str, body: dict[str, object], *, ts: float = 1000.0, project: str | None = None
) -> Event:
    return Event(id, "rating", ts, "cli", body, "person", project)


SUGGESTION = Suggestion(
    *(
        "T1",
        0,
        "def add(a, b):\n    return a + b\n",
        0,
        31,
        "python",
        "settled",
        "p/a.py",
        "add",
        ("x = 1", "", "#"),
        ("y = 2",),
        "def add(a, b): ...",
    ),
    *(0.9, 110.0, 120.0, 700.0, "def add(a, b): ...", "c0ffee", True, "name", 0.8),
)


def clean(store: Store, turn: Turn) -> None:
    """Saves and scores a turn, so that what comes next is what marks it."""
    turns.save_turn(store, as_redacted(turn))
    feedback.save_score(store, as_redacted(Score(turn.id, None, 0.0, None, None)))
