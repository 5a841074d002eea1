"""What a person writes after an answer is a weak signal of it, and never what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Score
from qi_learn.settings import ScoreSettings, Settings
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.database import Store
from qi_learn.store.ingest import drain
from qi_learn.store.reply_turns import reply_to
from qi_learn.track.suggestions import suggestions_of
from tests.support.redacted import as_redacted
from tests.support.scored import score_now

CODE = "Here:\n\n```python\ndef apply_discount(total, rate):\n    return total * rate\n```\n"
USER: dict[str, Any] = {"role": "user", "content": "Write apply_discount."}


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


class Talk:
    """Exchanges that a client had, taken in through the spool."""

    def __init__(self, store: Store, spool_dir: Path) -> None:
        self.store, self.spool_dir = store, spool_dir
        self.spool = Spool(spool_dir, "gateway")
        self.at = time.time() - 3600

    def ask(self, messages: Sequence[dict[str, Any]], answer: str, **more: Any) -> str:
        self.at += 60
        calls = {"tool_calls": more["calls"]} if "calls" in more else {}
        message = {"role": "assistant", "content": answer, **calls}
        told = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
        body = {
            "endpoint": "/api/chat",
            "status": more.get("status", 200),
            "model_asked": "m",
            "request": json.dumps({"model": "m", "messages": list(messages), "stream": False}),
            "response": json.dumps(told),
            "started": self.at,
            "ended": self.at + 5,
        }
        self.spool.append("turn", body, project="/p")
        (id,) = drain(
            self.store, self.spool_dir, decode=decode, suggest=suggestions_of, now=self.at + 10
        ).turns
        return id

    def score(self, turn: str, **weights: float) -> Score:
        settings = Settings(score=ScoreSettings(**weights))
        return score_now(self.store, turn, settings, self.at)

    def signal(self, turn: str) -> tuple[float, float, str] | None:
        found = {s.name: s for s in self.score(turn).signals}.get("next_message")
        return None if found is None else (found.value, found.weight, found.reason)


@pytest.fixture
def talk(store: Store, spool_dir: Path) -> Talk:
    return Talk(store, spool_dir)


@pytest.mark.parametrize(
    ("reply", "signal"),
    [
        ("Thanks, that works!", (1.0, 0.25, "the next message says that it worked")),
        ("It still fails.", (0.0, 0.25, "the next message says that it did not work")),
        (
            "Traceback (most recent call last):\n  in apply_discount\nTypeError: no\n",
            (0.0, 0.25, "the next message says that it did not work"),
        ),
        ("Add type hints.", None),
    ],
)
def test_the_next_message_is_a_signal_of_small_weight(
    talk: Talk, reply: str, signal: tuple[float, float, str] | None
) -> None:
    turn = talk.ask([USER], CODE)
    assert talk.signal(turn) is None
    talk.score(turn)
    talk.ask([USER, said("assistant", CODE), said("user", reply)], "Well.")
    assert turn in feedback.dirty_turns(talk.store)
    assert talk.signal(turn) == signal


def test_it_is_no_fate_and_no_rejection(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    before = feedback.suggestions_of(talk.store, turn), feedback.load_feedback(talk.store, turn)
    talk.ask([USER, said("assistant", CODE), said("user", "That's wrong.")], "Sorry.")
    after = feedback.suggestions_of(talk.store, turn), feedback.load_feedback(talk.store, turn)
    assert after == before
    assert feedback.rejected_turns(talk.store) == []


def test_a_weight_of_nothing_looks_at_nothing(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    talk.ask([USER, said("assistant", CODE), said("user", "That works")], "Good.")
    names = [s.name for s in talk.score(turn, next_message=0.0).signals]
    assert "next_message" not in names


def test_an_answer_that_a_client_sends_without_its_blanks_is_known(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    talk.ask([USER, said("assistant", CODE.strip()), said("user", "That works")], "Good.")
    assert reply_to(talk.store, turn) == "That works"


def test_what_is_said_after_an_agents_work_is_of_all_its_answers(talk: Talk) -> None:
    call = {"function": {"name": "write", "arguments": {"path": "a.py", "content": "x = 1\n"}}}
    first = talk.ask([USER], "", calls=[call])
    called = [USER, said("assistant", "", tool_calls=[call]), said("tool", "written")]
    second = talk.ask(called, "Done.")
    assert reply_to(talk.store, first) is None, "the result of a tool is no person's word"
    talk.ask([*called, said("assistant", "Done."), said("user", "It doesn't work")], "Oh.")
    assert reply_to(talk.store, first) == reply_to(talk.store, second) == "It doesn't work"


def test_only_the_first_message_after_an_answer_counts(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    history = [USER, said("assistant", CODE), said("user", "That works")]
    talk.ask(history, "Good.")
    talk.ask([*history, said("assistant", "Good."), said("user", "It still fails")], "Oh.")
    talk.ask([USER, said("assistant", CODE), said("user", "No, that's wrong")], "Edited.")
    assert reply_to(talk.store, turn) == "That works"


@pytest.mark.parametrize(
    "reply",
    [
        "### Task:\nSuggest 3 follow-up questions.\n### Chat History:\n<chat_history>It fails",
        "Generate a concise title for this conversation.",
    ],
)
def test_what_a_client_asks_by_itself_is_no_persons_word(talk: Talk, reply: str) -> None:
    turn = talk.ask([USER], CODE)
    talk.ask([USER, said("assistant", CODE), said("user", reply)], "A title")
    assert reply_to(talk.store, turn) is None


def test_another_conversation_says_nothing(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    talk.ask([said("user", "That's wrong")], "What is?")
    talk.ask([USER, said("assistant", "Something else."), said("user", "It fails")], "Oh.")
    assert reply_to(talk.store, turn) is None


def test_a_forgotten_message_says_nothing_any_more(talk: Talk) -> None:
    turn = talk.ask([USER], CODE)
    reply = talk.ask([USER, said("assistant", CODE), said("user", "It still fails.")], "Oh.")
    feedback.save_classes(talk.store, turn, "debugging", "simple", "", as_redacted(()))
    feedback.save_score(talk.store, as_redacted(talk.score(turn)))
    assert turn not in feedback.dirty_turns(talk.store)
    talk.store.execute("DELETE FROM turns WHERE id = ?", (reply,))
    assert turn in feedback.dirty_turns(talk.store)
    assert talk.signal(turn) is None
