"""What a data set is made from, loaded in one pass from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.records import Suggestion
from qi_learn.store import feedback
from qi_learn.store.database import Store, open_store
from qi_learn.store.learnables import learnable_turns, load_evidence
from qi_learn.store.turns import save_turn
from tests.support.dataset_world import keep, suggestion, turn
from tests.support.redacted import as_redacted


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


def kept(store: Store, n: int, question: str, *, session: str | None = "s") -> str:
    """A turn that was kept, over the threshold."""
    t = turn(n, question=question, session=session)
    keep(store, t, suggestion(t, final=f"x = {n}\n"), redacted=n == 0)
    return t.id


def rejected(store: Store, n: int) -> str:
    t = turn(n, question=f"Reject {n}")
    save_turn(store, as_redacted(t))
    undone = Suggestion(t.id, 0, "x", 0, 1, state="settled", placed_at=t.ended, fate="rejected")
    feedback.save_suggestions(store, as_redacted([undone]))
    return t.id


def test_a_turn_comes_with_its_session_and_whether_it_was_redacted(store: Store) -> None:
    first, second = kept(store, 0, "one", session=None), kept(store, 1, "two")
    fresh = learnable_turns(store, threshold=0.7, learned=set()).fresh
    assert [(t.id, t.session, t.redacted) for t in fresh] == [
        (first, f"turns-from-{first}", True),
        (second, "s", False),
    ]
    assert fresh[1].interaction.suggestions[0].final_text == "x = 1\n"


def test_of_the_learned_turns_only_those_come_that_were_asked_the_same(store: Store) -> None:
    old, other, new = kept(store, 0, "one"), kept(store, 1, "two"), kept(store, 2, "one")
    turns = learnable_turns(store, threshold=0.7, learned={old, other})
    assert [t.id for t in turns.fresh] == [new]
    assert [t.id for t in turns.learned] == [old]


def test_earlier_answers_to_a_fresh_question_come_oldest_first(store: Store) -> None:
    for n in (0, 1, 3):
        save_turn(store, as_redacted(turn(n, question="one", answer=f"Answer {n}.")))
    fresh = kept(store, 2, "one")
    evidence = load_evidence(store, threshold=0.7, learned=set(), earlier=())
    assert {
        turn: [t.id for t in answers] for turn, answers in evidence.earlier_answers.items()
    } == {fresh: ["turn-0000", "turn-0001"]}


def test_rejected_turns_come_newest_first_and_only_when_they_are_taken(store: Store) -> None:
    first, second, learned = rejected(store, 0), rejected(store, 1), rejected(store, 2)
    evidence = load_evidence(store, threshold=0.7, learned={learned}, earlier=())
    assert next(evidence.rejected).id == second
    store.execute("UPDATE turns SET session = 'later' WHERE id = ?", (first,))
    assert next(evidence.rejected).session == "later"
    assert next(evidence.rejected, None) is None


def test_turns_that_are_no_longer_stored_are_named(store: Store) -> None:
    here = kept(store, 0, "one")
    evidence = load_evidence(store, threshold=0.7, learned={here}, earlier={here, "gone"})
    assert evidence.gone == {"gone"}
