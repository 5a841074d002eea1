"""Balance and split: nothing judged is trained on, nothing drowns the rest, and thin or one-sided
data is refused with what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.dataset.balance import capped, one_sided, refuse_one_sided
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.split import assign
from qi_learn.dataset.target import Target
from qi_learn.errors import Refused
from qi_learn.records import Split
from tests.support.dataset_world import interaction, turn


def assigned(sessions: Sequence[str], *, min_gate: int) -> list[Split]:
    """Where the person wrote something of everything."""
    return assign(sessions, [True] * len(sessions), min_gate=min_gate)


def judging(sessions: list[str]) -> set[str]:
    splits = assigned(sessions, min_gate=25)
    return {s for s, name in zip(sessions, splits, strict=True) if name == "gate"}


def test_the_newest_sessions_judge_a_tenth_of_the_rest_chooses() -> None:
    sessions = [f"s{i // 10}" for i in range(200)]
    splits = assigned(sessions, min_gate=25)
    assert Counter(splits) == {"gate": 40, "dev": 20, "train": 140}
    assert set(splits[160:]) == {"gate"}
    assert set(splits[140:160]) == {"dev"}


def test_a_session_that_goes_on_into_the_newest_time_is_wholly_in_the_gate() -> None:
    sessions = ["early", *["a"] * 30, *["b"] * 30, *["c"] * 15, *["d"] * 15, "early"]
    splits = assigned(sessions, min_gate=25)
    assert [s for s, name in zip(sessions, splits, strict=True) if name == "gate"] == [
        "early",
        *["c"] * 15,
        *["d"] * 15,
        "early",
    ]


def test_a_rest_of_one_big_session_gives_its_newest_examples_to_dev() -> None:
    splits = assigned([*["a"] * 40, *["b"] * 10, *["c"] * 10, *["d"] * 10], min_gate=25)
    assert splits == [*["train"] * 36, *["dev"] * 4, *["gate"] * 30]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=150),
    st.integers(2, 30),
)
def test_whatever_the_sessions_no_gate_session_is_trained_on(
    work: list[tuple[int, bool]], min_gate: int
) -> None:
    sessions, own = [f"s{owner}" for owner, _ in work], [counts for _, counts in work]
    count = sum(own)
    if count < min_gate or _left(sessions, own, min_gate) < 2:
        with pytest.raises(Refused, match="missing"):
            assign(sessions, own, min_gate=min_gate)
        return
    splits = assign(sessions, own, min_gate=min_gate)
    by_split = {
        name: {s for s, is_in in zip(sessions, splits, strict=True) if is_in == name}
        for name in ("gate", "dev", "train")
    }
    counting = Counter(name for name, counts in zip(splits, own, strict=True) if counts)
    judges = {s for s, name, c in zip(sessions, splits, own, strict=True) if name == "gate" and c}
    assert not by_split["gate"] & (by_split["dev"] | by_split["train"])
    assert counting["gate"] >= max(min_gate, 0.2 * count)
    assert len(judges) >= 3
    assert counting["dev"] >= 1
    assert counting["train"] >= 1


def _left(sessions: list[str], own: list[bool], min_gate: int) -> int:
    """How many that count the gate leaves, counted another way: the newest sessions one by one."""
    newest: list[str] = []
    for session in dict.fromkeys(reversed(sessions)):
        counting = [s for s, counts in zip(sessions, own, strict=True) if counts and s in newest]
        if len(counting) >= max(min_gate, 0.2 * sum(own)) and len(set(counting)) >= 3:
            break
        newest.append(session)
    return sum(counts and s not in newest for s, counts in zip(sessions, own, strict=True))


def test_the_gate_takes_three_sessions_though_two_would_have_enough() -> None:
    assert judging([f"s{i // 30}" for i in range(180)]) == {"s3", "s4", "s5"}
    assert judging([*["a"] * 20, *["b"] * 6, *["c"] * 14, *["d"] * 12]) == {"b", "c", "d"}
    assert judging([*["a"] * 40, *[x for x in "bcdefg" for _ in range(5)]]) == set("cdefg")


def test_what_was_kept_as_it_was_does_not_count_and_goes_with_its_session() -> None:
    """Ten sessions of ten, of which the person changed three answers."""
    sessions = [f"s{i // 10}" for i in range(150)]
    own = [i % 10 < 3 for i in range(150)]
    splits = assign(sessions, own, min_gate=25)
    counted = Counter(zip(splits, own, strict=True))
    assert (counted["gate", True], counted["gate", False]) == (27, 63)
    assert set(splits[60:]) == {"gate"}
    assert (counted["dev", True], counted["train", True]) == (3, 15)
    with pytest.raises(Refused, match="45 examples with text of your own are too few"):
        assign(sessions, own, min_gate=46)


def test_a_session_in_which_nothing_counts_neither_judges_alone_nor_chooses() -> None:
    sessions = [*["a"] * 20, *["k"] * 9, *["b"] * 4, *["c"] * 4, *["d"] * 4, *["l"] * 5]
    own = [s not in "kl" for s in sessions]
    splits = dict(zip(sessions, assign(sessions, own, min_gate=6), strict=True))
    assert splits | {"a": "train"} == {
        "a": "train",
        "k": "train",
        **dict.fromkeys("bcdl", "gate"),
    }


def test_too_few_are_refused_with_how_many_are_missing() -> None:
    with pytest.raises(
        Refused, match=r"20 examples with text of your own are too few: .* needs 25; 5 are missing"
    ):
        assigned(["a"] * 20, min_gate=25)
    with pytest.raises(Refused, match=r"Nothing is left to train on.*at least 2 more"):
        assigned(["a"] * 30, min_gate=25)
    with pytest.raises(Refused, match=r"sessions whole, 3 at least: 70 of 70 .*at least 2 more"):
        assigned([*["a"] * 40, *["b"] * 30], min_gate=25)
    with pytest.raises(Refused, match="at least 1 more"):
        assigned(["a", "b", "c", *["d"] * 27], min_gate=25)


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


def test_what_the_person_wrote_is_not_pushed_out_by_what_was_kept_as_it_was() -> None:
    own = [candidate(n, "a", 0.7) for n in range(3)]
    kept = [
        replace(one, target=Target("x", (), served=Target("x", ())))
        for one in (candidate(n, "a", 0.9) for n in range(3, 20))
    ]
    assert not any(one.own for one in kept)
    found = capped([*own, *kept], seed=0, session_cap=5).kept
    assert [one.own for one in found] == [True] * 3 + [False] * 2


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
