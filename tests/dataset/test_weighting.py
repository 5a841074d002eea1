"""How much an example counts: rare kinds and good evidence more, and never a few examples
everything.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.dataset.select import Learnable
from qi_learn.dataset.target import Target
from qi_learn.dataset.weighting import effective, evened, weighted
from qi_learn.records import Example, Feedback
from tests.support.dataset_world import interaction, turn


def example(n: int, **more: object) -> Example:
    values: dict[str, object] = {"split": "train", "domain": "web", **more}
    return Example(f"t{n}", f"h{n}", "p", "t", (1,), (2, 3), (True, False), **values)  # type: ignore[arg-type]


def weights_of(examples: list[Example], how: str) -> list[float]:
    return [e.weight for e in weighted(examples, how)]


def test_rare_kinds_weigh_more_and_the_mean_is_one() -> None:
    many = [example(n) for n in range(16)] + [example(n + 16, domain="data") for n in range(4)]
    found = weights_of([*many, example(99, domain="data", split="gate")], "uniform")
    assert found[16] / found[0] == pytest.approx(2.0)  # (16 / 4) ** 0.5
    assert math.fsum(found[:20]) / 20 == pytest.approx(1.0)
    assert found[-1] == 1.0
    lone = weights_of([*(example(n) for n in range(400)), example(400, domain="rare")], "uniform")
    assert lone[-1] / lone[0] == pytest.approx(
        2.0, rel=0.05
    )  # not 400 ** 0.5: nothing of a kind of one weighs more than twice
    assert weighted([], "quality") == ()


def test_better_evidence_weighs_more() -> None:
    """Reward-weighted regression written out: exp(q) with q = 2 x score - 1, over the mean."""
    scores = [0.7, 0.8, 0.9, 1.0]
    found = weights_of([example(n, score=s) for n, s in enumerate(scores)], "quality")
    plain = [math.exp(2 * s - 1) for s in scores]
    assert found == pytest.approx([w / (sum(plain) / 4) for w in plain])
    extreme = weights_of([example(n, score=s) for n, s in enumerate([0.0, 1.0])], "quality")
    assert extreme[1] / extreme[0] == pytest.approx(
        math.e / math.exp(-1)
    )  # inside the bounds of 0.2 and 3


def test_evidence_and_kind_multiply() -> None:
    many = [example(n, score=0.7) for n in range(16)] + [
        example(n + 16, domain="data", score=1.0) for n in range(4)
    ]
    found = weights_of(many, "quality")
    assert found[-1] / found[0] == pytest.approx(2 * math.exp(2 * 1.0 - 1) / math.exp(2 * 0.7 - 1))


def test_feedback_weighs_two_and_a_half() -> None:
    found = weights_of([example(0, liked=True), example(1, liked=False), example(2)], "feedback")
    assert (found[0] / found[2], found[1] / found[2]) == pytest.approx((2.0, 0.5))


@pytest.mark.parametrize(
    ("feedback", "liked"),
    [
        (Feedback(rating=5), True),
        (Feedback(rating=3, accepted=True), None),
        (Feedback(rating=1, accepted=True), False),
        (Feedback(accepted=True, modified=True), True),
        (Feedback(accepted=False), False),
        (Feedback(rating=1, correction="x = 1"), True),
        (Feedback(), None),
    ],
)
def test_what_the_person_made_of_the_text(feedback: Feedback, liked: bool | None) -> None:
    known = interaction(turn())
    made = type(known)(
        **{f: getattr(known, f) for f in known.__dataclass_fields__} | {"feedback": feedback}
    )
    assert Learnable(made, Target("x", ()), "k", "s", redacted=False).liked is liked


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40))
def test_whatever_the_weights_a_third_of_the_examples_carry_them(weights: list[float]) -> None:
    found = evened(weights)
    assert math.fsum(found) == pytest.approx(len(weights))
    assert effective(found) >= len(weights) / 3 * (1 - 1e-9)
    order = sorted(range(len(weights)), key=weights.__getitem__)
    assert [found[i] for i in order] == sorted(found)  # none overtakes another
