"""Balance and split: nothing judged is trained on, nothing drowns the rest, and thin or one-sided
data is refused with what is missing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.dataset.balance import capped, one_sided, refuse_one_sided
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.split import assign, split
from qi_learn.dataset.target import Target
from qi_learn.errors import Refused
from qi_learn.records import Example
from tests.support.dataset_world import interaction, turn


def example(n: int, session: str = "s", **more: Any) -> Example:
    values: dict[str, Any] = {"split": "train", **more}
    return Example(
        f"t{n}", f"h{n}", "p", "t", (1,), (2, 3), (True, False), session=session, **values
    )


def test_the_newest_sessions_judge_a_tenth_of_the_rest_chooses() -> None:
    sessions = [f"s{i // 10}" for i in range(200)]
    splits = assign(sessions, min_gate=25)
    assert Counter(splits) == {"gate": 40, "dev": 20, "train": 140}
    assert set(splits[160:]) == {"gate"}
    assert set(splits[140:160]) == {"dev"}


def test_a_session_that_goes_on_into_the_newest_time_is_wholly_in_the_gate() -> None:
    sessions = ["early", *["a"] * 30, *["b"] * 30, *["c"] * 30, "early"]
    assert [
        s for s, name in zip(sessions, assign(sessions, min_gate=25), strict=True) if name == "gate"
    ] == ["early", *["c"] * 30, "early"]


def test_a_rest_of_one_big_session_gives_its_newest_examples_to_dev() -> None:
    splits = assign([*["a"] * 40, *["b"] * 10, *["c"] * 20], min_gate=25)
    assert splits == [*["train"] * 36, *["dev"] * 4, *["gate"] * 30]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=150), st.integers(2, 30))
def test_whatever_the_sessions_no_gate_session_is_trained_on(
    owners: list[int], min_gate: int
) -> None:
    sessions = [f"s{o}" for o in owners]
    if len(sessions) < min_gate or _left(sessions, min_gate) < 2:
        with pytest.raises(Refused, match="missing"):
            assign(sessions, min_gate=min_gate)
        return
    splits = assign(sessions, min_gate=min_gate)
    by_split = {
        name: {s for s, own in zip(sessions, splits, strict=True) if own == name}
        for name in ("gate", "dev", "train")
    }
    assert not by_split["gate"] & (by_split["dev"] | by_split["train"])
    assert splits.count("gate") >= max(min_gate, 0.2 * len(sessions))
    assert splits.count("dev") >= 1
    assert splits.count("train") >= 1


def _left(sessions: list[str], min_gate: int) -> int:
    """How many examples the gate leaves, counted another way: the newest sessions one by one."""
    newest: list[str] = []
    for session in dict.fromkeys(reversed(sessions)):
        taken = sum(s in newest for s in sessions)
        few = len(newest) < 2 or (
            len(newest) < 3 and taken + sessions.count(session) <= len(sessions) / 2
        )
        if taken >= max(min_gate, 0.2 * len(sessions)) and not few:
            break
        newest.append(session)
    return sum(s not in newest for s in sessions)


def test_the_gate_takes_a_third_session_where_half_is_left_to_train_on() -> None:
    def judged(sessions: list[str]) -> set[str]:
        return {
            s
            for s, name in zip(sessions, assign(sessions, min_gate=25), strict=True)
            if name == "gate"
        }

    assert judged([f"s{i // 30}" for i in range(180)]) == {"s3", "s4", "s5"}
    assert judged([f"s{i // 30}" for i in range(150)]) == {"s3", "s4"}
    assert judged([*["a"] * 20, *["b"] * 6, *["c"] * 14, *["d"] * 12]) == {"c", "d"}
    assert judged([*["a"] * 34, *["b"] * 34, *["c"] * 34]) == {"b", "c"}, (
        "one session would never be enough to ship"
    )


def test_too_few_are_refused_with_how_many_are_missing() -> None:
    with pytest.raises(
        Refused, match="20 examples are too few: the gate alone needs 25; 5 are missing"
    ):
        assign(["a"] * 20, min_gate=25)
    with pytest.raises(Refused, match=r"Nothing is left to train on.*at least 2 more"):
        assign(["a"] * 30, min_gate=25)
    with pytest.raises(Refused, match="at least 2 more"):
        assign([*["a"] * 40, *["b"] * 30], min_gate=25)
    with pytest.raises(Refused, match="at least 1 more"):
        split(
            [example(0, "a"), example(1, "b"), *(example(i, "c") for i in range(2, 30))],
            min_gate=25,
        )


# --- balance --------------------------------------------------------------------------------------


def candidate(n: int, session: str, score: float = 0.8) -> Learnable:
    return Learnable(
        interaction(turn(n), score=score), Target("x", ()), str(n), session, redacted=False
    )


def test_caps_keep_the_best_and_the_order() -> None:
    pool = [candidate(n, "a" if n < 6 else "b", 0.7 + 0.01 * n) for n in range(10)]
    kept = capped(pool, seed=0, session_cap=3, group_cap=5)
    assert [c.id for c in kept.kept] == [
        "turn-0004",
        "turn-0005",
        "turn-0007",
        "turn-0008",
        "turn-0009",
    ]
    assert kept.left_out == 5


def test_ties_are_drawn_from_the_seed() -> None:
    pool = [candidate(n, "a") for n in range(20)]
    draws = {tuple(c.id for c in capped(pool, seed=seed, session_cap=5).kept) for seed in range(5)}
    assert len(draws) > 1
    assert capped(pool, seed=3, session_cap=5) == capped(list(pool), seed=3, session_cap=5)


def test_more_than_half_from_one_session_is_refused() -> None:
    assert one_sided(["a", "a", "b", "b"]) == ""
    assert one_sided([]) == ""
    assert (
        one_sided(["a", "a", "a", "b"])
        == "3 of 4 examples come from one session (a): at least 2 more from others are missing."
    )
    with pytest.raises(Refused, match="One-sided: 3 of 4"):
        refuse_one_sided(["a", "a", "a", "b"])
