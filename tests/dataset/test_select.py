"""Which turns may be learned, from a real store."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest

from qi_learn.cycle.trigger import judge
from qi_learn.dataset.select import Selection, select_learnables
from qi_learn.records import Message
from qi_learn.settings import Settings, TrainSettings
from qi_learn.store.candidates import FreshCount, fresh_candidates, fresh_count
from qi_learn.store.database import Store, open_store
from qi_learn.store.learnables import learnable_turns
from tests.support.dataset_world import ANSWER, CODE, keep, suggestion, turn, work

SETTINGS = Settings()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


def selected(
    store: Store, settings: Settings = SETTINGS, *, learned: Set[str] = frozenset()
) -> Selection:
    threshold = settings.train.quality_threshold
    return select_learnables(learnable_turns(store, threshold=threshold, learned=learned))


def test_what_is_good_enough_comes_oldest_first(store: Store) -> None:
    for n, score in ((2, 0.9), (0, 0.7), (1, 0.69)):
        t = turn(n)
        keep(store, t, suggestion(t, final=f"x = {n}\n"), score=score)
    found = selected(store)
    assert [c.id for c in found.learnables] == ["turn-0000", "turn-0002"]
    assert found.learnables[1].group == ("web", "code_generation")
    assert found.learnables[1].target.code == "x = 2"
    assert (
        len(selected(store, Settings(train=TrainSettings(quality_threshold=0.6))).learnables) == 3
    )


def test_what_a_live_version_learned_is_done_and_so_is_what_says_the_same(store: Store) -> None:
    for n, question in enumerate(["one", "two", "one", "  one\n"]):
        t = turn(n, question=question)
        keep(store, t, suggestion(t, final="x = 1\n" if n < 3 else "x = 1  \n"))
    assert [c.id for c in selected(store).learnables] == [
        "turn-0000",
        "turn-0001",
    ]
    found = selected(store, learned={"turn-0002"})
    assert [c.id for c in found.learnables] == ["turn-0001"]
    assert found.dropped == {"says the same as another": 2}


def test_two_answers_to_one_question_are_two_examples(store: Store) -> None:
    for n in range(2):
        t = turn(n, question="same")
        keep(store, t, suggestion(t, final=f"if a:\n    b = {n}\n"))
    assert len(selected(store).learnables) == 2


def test_of_two_that_say_the_same_the_one_that_the_person_changed_is_the_example(
    store: Store,
) -> None:
    """The model had answered so once, and another time the person made it so."""
    code = "def area(r):\n    return tau * r\n"
    as_it_was = turn(0, question="same", answer=ANSWER.replace(CODE, code))
    keep(store, as_it_was, suggestion(as_it_was, code, final=code))
    changed, later = turn(1, question="same"), turn(2, question="same")
    for t in (changed, later):
        keep(store, t, suggestion(t, final=code))
    found = selected(store)
    assert [(c.id, c.own) for c in found.learnables] == [("turn-0001", True)]
    assert found.dropped == {"says the same as another": 2}
    judge(store, SETTINGS)
    threshold = SETTINGS.train.quality_threshold
    assert fresh_count(store, threshold=threshold, learned_runs=()) == FreshCount(1, 0)
    (one,) = fresh_candidates(store, threshold=threshold, learned_runs=())
    assert one.own


def test_the_system_prompt_is_part_of_the_question(store: Store) -> None:
    for n in range(2):
        t = turn(
            n,
            endpoint="/api/generate",
            messages=(Message("prompt", "same"),),
            request={"system": f"Project {n}"},
        )
        keep(store, t, suggestion(t, final="x = 1\n"))
    assert len(selected(store).learnables) == 2


@pytest.mark.parametrize(
    ("changes", "final", "reason"),
    [
        ({"complete": False}, "x = 1\n", "the answer did not arrive whole"),
        ({"model_answered": "gpt-oss:120b-cloud"}, "x = 1\n", "a cloud model answered"),
        ({"model_answered": "kimi:cloud"}, "x = 1\n", "a cloud model answered"),
        (
            {"answer_extra": {"remote_host": "https://ollama.com"}},
            "x = 1\n",
            "a cloud model answered",
        ),
        (
            {"answer_extra": {"thinking": "Hm."}},
            "x = 1\n",
            "the model thought aloud before it answered",
        ),
        ({}, 'key = "[REDACTED:token:0af3]"\n', "a secret was taken out of the answer"),
    ],
)
def test_what_must_not_be_learned_is_counted_by_its_reason(
    store: Store, changes: dict[str, Any], final: str, reason: str
) -> None:
    t = turn(0, **changes)
    keep(store, t, suggestion(t, final=final))
    found = selected(store)
    assert found.learnables == ()
    assert found.dropped == {reason: 1}


def test_cancelled_and_failed_turns_are_never_candidates(store: Store) -> None:
    failures: list[dict[str, Any]] = [{"cancelled": True}, {"status": 500}]
    for n, changes in enumerate(failures):
        t = turn(n, **changes)
        keep(store, t, suggestion(t, final="x = 1\n"))
    found = selected(store)
    assert found.learnables == ()
    assert found.dropped == {"the answer did not arrive whole": 1}  # that of the cancelled one


def test_a_secret_in_the_question_is_no_reason_but_is_known(store: Store) -> None:
    t = turn(0, question="Use [REDACTED:token:0af3] here")
    keep(store, t, suggestion(t, final="x = 1\n"), redacted=True)
    (found,) = selected(store).learnables
    assert found.redacted


def test_sessions_come_from_the_turns(store: Store) -> None:
    work(store, {"a": 2, "b": 1})
    assert [c.session for c in selected(store).learnables] == [
        "a",
        "a",
        "b",
    ]
