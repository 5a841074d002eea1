"""What is put to the models, and how their answers are paired."""

from __future__ import annotations

from qi_learn.gate.evaluate import (
    AnswerMeasurements,
    between,
    on_common_questions,
    tasks_within,
)
from qi_learn.records import Behaviour, Example, Execution


def example(name: str, target: str = "t") -> Example:
    return Example(name, f"h-{name}", "p", target, (1,), (2,), (True,))


def behaviour(*ids: str, answers: tuple[str, ...] = ()) -> Behaviour:
    n = len(ids)
    likeness = tuple(len(i) / 10 for i in ids)
    return Behaviour(ids, likeness, (True,) * n, answers or ids, 50.0)


def measured(*ids: str) -> AnswerMeasurements:
    return AnswerMeasurements(behaviour(*ids), Execution((), ()))


def test_models_are_compared_on_what_all_of_them_answered() -> None:
    common = on_common_questions(
        {
            "candidate": measured("a", "bb"),
            "live": measured("a", "bb", "ccc"),
            "base": measured("a", "bb", "dd"),
        }
    )
    assert {m.behaviour.ids for m in common.values()} == {("a", "bb")}
    assert common["live"].behaviour.similarity == (0.1, 0.2)
    assert on_common_questions({}) == {}


def test_questions_from_elsewhere_are_spread_over_the_others() -> None:
    own, aside = [example(f"q{n}") for n in range(8)], [example(f"s{n}") for n in range(4)]
    order = [e.id for e in between(own, aside)]
    assert order[:6] == ["q0", "s0", "q1", "q2", "s1", "q3"]
    assert sorted(order) == sorted(e.id for e in (*own, *aside))
    assert between(own, []) == tuple(own)
    assert between([], aside) == tuple(aside)


def test_tasks_are_as_many_as_their_share_pays_for() -> None:
    assert tasks_within(48, 6000) == 18
    assert tasks_within(48, 100_000) == 48
    assert tasks_within(2, 6000) == 2
    assert tasks_within(0, 6000) == 0
