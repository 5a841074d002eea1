"""Turns and messages in the store: records in, the same records out; tampering shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from qi_learn.errors import NotFound
from qi_learn.records import (
    Message,
)
from qi_learn.store import feedback, ratings, seen_turns, turn_lines, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.sessions import session_of
from tests.support.redacted import as_redacted
from tests.support.stored_turns import (
    FULL,
    QUESTION,
    SAID,
    TEXTS,
    a_turn,
    rating,
)

# --- turns and messages ---------------------------------------------------------------------------


def test_a_turn_comes_back_as_it_went_in(store: Store) -> None:
    assert turns.save_turn(store, as_redacted(FULL), redacted=True)
    assert turns.load_turn(store, FULL.id) == FULL
    assert turns.was_redacted(store, FULL.id)
    assert list(
        turns.load_turn(store, FULL.id).answer_extra["tool_calls"][0]["function"]["arguments"]
    ) == ["z", "a"]


@hypothesis_settings(max_examples=40, deadline=None)
@given(SAID, TEXTS)
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]], answer: str
) -> None:
    turn = a_turn(messages=tuple(Message(role, content) for role, content in said), answer=answer)
    with open_store(tmp_path_factory.mktemp("any") / "x.db") as store:
        turns.save_turn(store, as_redacted(turn))
        assert turns.load_turn(store, turn.id) == turn
        assert turns.verify(store) == []


def test_saving_twice_keeps_the_first(store: Store) -> None:
    assert turns.save_turn(store, as_redacted(a_turn()))
    assert not turns.save_turn(store, as_redacted(a_turn(answer="other")))
    assert turns.load_turn(store, "T1") == a_turn()


def test_history_sent_again_costs_only_the_tail(store: Store) -> None:
    history: tuple[Message, ...] = ()
    for i in range(5):
        history = (*history, Message("user", f"question {i}"))
        turns.save_turn(store, as_redacted(a_turn(f"T{i}", messages=history, answer=f"answer {i}")))
        history = (*history, Message("assistant", f"answer {i}"))
    assert store.row("SELECT count(*) FROM messages")[0] == 10  # type: ignore[index]
    assert turns.load_turn(store, "T4").messages == history[:-1]


def test_the_same_words_after_other_words_are_another_message(store: Store) -> None:
    one = turns.ensure_chain(store, [Message("user", "a"), Message("user", "x")])
    two = turns.ensure_chain(store, [Message("user", "b"), Message("user", "x")])
    assert one != two
    assert turns.ensure_chain(store, [Message("user", "a"), Message("user", "x")]) == one
    assert turns.load_chain(store, two) == (Message("user", "b"), Message("user", "x"))
    assert turns.ensure_chain(store, []) == ""


def test_two_answers_to_one_conversation_are_a_fork(store: Store) -> None:
    for id, answer, at in (("B", "two", 2.0), ("A", "one", 1.0), ("C", "one", 3.0)):
        turns.save_turn(store, as_redacted(a_turn(id, answer=answer, at=at)))
    turns.save_turn(store, as_redacted(a_turn("D", messages=(Message("user", "else"),))))
    assert turns.forks(store) == [("A", "B", "C")]


def test_lines_are_newest_first_and_searchable(store: Store) -> None:
    turns.save_turn(store, as_redacted(a_turn("T1", at=1.0, project="p")))
    turns.save_turn(store, as_redacted(a_turn("T2", at=2.0, project="q", answer="100% _sure_")))
    turns.save_turn(store, as_redacted(a_turn("T3", messages=(), at=3.0, status=500)))
    ratings.save_rating(store, as_redacted(rating("R1", {"turn": "T2", "rating": 4})))
    assert [line.id for line in turn_lines.list_turns(store, limit=2)] == ["T3", "T2"]
    assert [line.id for line in turn_lines.list_turns(store, limit=9, query="WRITE ADD")] == [
        "T2",
        "T1",
    ]
    assert [line.id for line in turn_lines.list_turns(store, limit=9, query="0% _s")] == ["T2"]
    assert turn_lines.list_turns(store, limit=9, query="%") == turn_lines.list_turns(
        store, limit=9, query="100%"
    )
    (line,) = turn_lines.list_turns(store, limit=9, project="q")
    assert (line.rating, line.question, line.answer, line.model, line.started) == (
        4,
        "Write add.",
        "100% _sure_",
        "qi-agent:v1.1.0",
        2.0,
    )


def test_the_newest_turn_is_one_that_had_ended(store: Store) -> None:
    turns.save_turn(store, as_redacted(a_turn("T1", at=10.0, project="p")))
    turns.save_turn(store, as_redacted(a_turn("T2", at=20.0, project="p")))
    turns.save_turn(store, as_redacted(a_turn("T3", at=21.0, project="q")))
    turns.save_turn(store, as_redacted(a_turn("T4", at=22.0, project="p", status=404)))
    assert seen_turns.newest_turn(store, "p", before=22.4) == "T1"
    assert seen_turns.newest_turn(store, "p", before=22.5) == "T2"
    assert seen_turns.newest_turn(store, "p", before=99.0) == "T2"
    assert seen_turns.newest_turn(store, None, before=99.0) == "T3"
    assert seen_turns.newest_turn(store, "elsewhere", before=99.0) is None
    turns.set_project(store, "T3", "elsewhere")
    assert seen_turns.newest_turn(store, "elsewhere", before=99.0) == "T3"
    assert turns.load_turn(store, "T3").project == "elsewhere"


def test_sessions_are_gaps_under_half_an_hour_within_a_project(store: Store) -> None:
    def session(id: str, at: float, project: str | None = "p", own: str | None = None) -> str:
        turn = a_turn(id, at=at, project=project, session=own)
        found = session_of(store, turn, turns.ensure_chain(store, turn.messages))
        turns.save_turn(store, as_redacted(replace(turn, session=found)))
        return found

    first = session("T1", 1000.0)
    assert session("T2", 1002.5 + 1800.0) == first
    assert session("T3", 1002.5 + 1800.0, project=None) != first
    assert session("T4", 4000.0, own="mine") == "mine"
    assert session("T5", 4700.0) not in (first, "mine"), "a named session is its client's alone"
    assert session("T6", 9000.0) not in (first, "mine")


def test_an_unknown_id_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="T9"):
        turns.load_turn(store, "T9")
    with pytest.raises(NotFound):
        turns.set_project(store, "T9", "p")
    with pytest.raises(NotFound):
        feedback.load_interaction(store, "T9")
    with pytest.raises(NotFound):
        feedback.mark_dirty(store, "T9")


@pytest.mark.parametrize(
    "tampering",
    [
        "content = 'Write sub.'",
        "role = 'system'",
        'extra = \'{"thinking":"x"}\'',
        "extra = '{'",
        "parent = hash",
    ],
)
def test_verify_finds_a_changed_message(store: Store, tampering: str) -> None:
    turns.save_turn(store, as_redacted(FULL))
    tip = turns.ensure_chain(store, [QUESTION])
    assert turns.verify(store) == []
    store.execute(f"UPDATE messages SET {tampering} WHERE hash = ?", (tip,))
    assert turns.verify(store) == [f"message {tip}: its text is not what was stored"]


def test_verify_finds_a_missing_message(store: Store) -> None:
    turns.save_turn(store, as_redacted(a_turn()))
    store.execute("PRAGMA foreign_keys = OFF")
    store.execute("DELETE FROM messages WHERE role = 'user'")
    assert len(turns.verify(store)) == 2  # the answer's parent, the turn's tip
