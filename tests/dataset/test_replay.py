"""What is replayed: what trained and never what judged, the most due first, every kind of work in
its turn, and why each is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.dataset.replay import LONGEST, replay, why
from qi_learn.records import Example, Recall, RecallLog, Snapshot


def example(n: int, session: str = "s", **more: Any) -> Example:
    values: dict[str, Any] = {"split": "train", **more}
    return Example(
        f"t{n}", f"h{n}", "p", "t", (1,), (2, 3), (True, False), session=session, **values
    )


def snapshot(
    *examples: Example, replayed: tuple[Example, ...] = (), base: str = "B", run: str = "r"
) -> Snapshot:
    return Snapshot(run, 0.0, base, examples, replayed)


def ids(found: tuple[Example, ...]) -> list[str]:
    return [e.id for e in found]


# --- never what judged, what is gone, what is secret ----------------------------------------------


def test_replay_takes_what_trained_and_never_what_judged() -> None:
    first = snapshot(
        example(1),
        example(2, split="dev"),
        example(3, split="gate"),
        replayed=(example(4), example(5)),
    )
    second = snapshot(example(6), example(5, split="gate"))
    found = replay([first, second], [example(6), example(7)], base_digest="B", seed=0)
    assert sorted(ids(found)) == ["t1", "t4"]


def test_a_text_that_judged_under_another_turn_is_not_replayed_either() -> None:
    judged = Example("other", "h1", "p", "t", (1,), (2,), (True,), split="gate")
    assert ids(
        replay([snapshot(example(1), example(2)), snapshot(judged)], [], base_digest="B", seed=0)
    ) == ["t2"]


def test_the_beginning_of_a_session_that_judges_now_is_not_replayed() -> None:
    first = snapshot(example(1, "goes on"), example(2, "over"), example(3, "dev"))
    fresh = [example(4, "goes on", split="gate"), example(5, "dev", split="dev")]
    assert set(ids(replay([first], fresh, base_digest="B", seed=0))) == {"t2", "t3"}


def test_another_base_is_not_replayed() -> None:
    assert ids(
        replay([snapshot(example(1), base="A"), snapshot(example(2))], [], base_digest="B", seed=0)
    ) == ["t2"]


def test_what_is_gone_or_secret_is_not_replayed_and_leaves_its_place_to_another() -> None:
    first = snapshot(*(example(n) for n in range(10)))
    plain = ids(replay([first], [], base_digest="B", seed=0, capacity=4))
    found = replay(
        [first],
        [],
        base_digest="B",
        seed=0,
        capacity=4,
        gone={plain[0]},
        secret=lambda e: e.id == plain[1],
    )
    assert len(found) == 4
    assert not {plain[0], plain[1]} & set(ids(found))
    assert replay([first], [], base_digest="B", seed=0, capacity=0) == ()


# --- balanced -------------------------------------------------------------------------------------


def test_every_project_and_kind_has_its_share_of_the_capacity() -> None:
    busy = [example(n, project="busy", learning_type="code_generation") for n in range(500)]
    quiet = [example(500 + n, project="quiet", learning_type="debugging") for n in range(7)]
    other = [example(600 + n, project="busy", learning_type="debugging") for n in range(40)]
    found = replay([snapshot(*busy, *quiet, *other)], [], base_digest="B", seed=1, capacity=60)
    assert Counter((e.project, e.learning_type) for e in found) == {
        ("busy", "code_generation"): 27,
        ("busy", "debugging"): 26,
        ("quiet", "debugging"): 7,
    }
    assert found == replay(
        [snapshot(*busy, *quiet, *other)], [], base_digest="B", seed=1, capacity=60
    )
    assert found != replay(
        [snapshot(*busy, *quiet, *other)], [], base_digest="B", seed=2, capacity=60
    )
    assert len({e.hash for e in found}) == 60


def test_what_was_replayed_before_weighs_as_one_training_example() -> None:
    (found,) = replay([snapshot(example(1, weight=1.7))], [], base_digest="B", seed=0)
    assert (found.weight, found.split) == (1.0, "train")


# --- spaced ---------------------------------------------------------------------------------------


def lives(cycles: int, known: Mapping[int, float], *, learned: float | None = 1.0) -> list[int]:
    """The cycles in which an example is due that is learned in cycle 0 and replayed whenever it is
    due; `known`: its NLL by cycle, 1.0 in all others.
    """
    chain = [snapshot(example(1), run="r0")]
    logs = {"r0": RecallLog({}, {} if learned is None else {"t1": learned}, {})}
    due = []
    for cycle in range(1, cycles):
        (found,) = replay(chain, [], base_digest="B", seed=0, recall_logs=logs)
        assert found.recall is not None
        replayed = (found,) if found.recall.overdue >= 0 else ()
        due += [cycle] if replayed else []
        chain.append(snapshot(replayed=replayed, run=f"r{cycle}"))
        logs[f"r{cycle}"] = RecallLog(
            {"t1": known.get(cycle, 1.0)} if replayed else {}, {}, {"t1": 2} if replayed else {}
        )
    return due


def test_what_is_still_known_comes_back_later_and_later() -> None:
    assert lives(40, {}) == [1, 3, 7, 15, 31]
    assert lives(100, {})[4:] == list(range(31, 100, LONGEST))


def test_what_was_forgotten_comes_back_in_the_next_cycle() -> None:
    assert lives(14, {7: 1.5}) == [1, 3, 7, 8, 10]
    assert lives(14, {7: 1.05}) == [1, 3, 7]  # a twentieth of a nat is no forgetting


def test_what_nobody_measured_stays_due_in_every_cycle() -> None:
    """Unknown is not success. From the first measurement on it is known how it holds."""
    assert lives(10, {}, learned=None) == [1, 2, 4, 8]
    assert lives(10, {2: 1.5}, learned=None) == [1, 2, 3, 5, 9]
    first = snapshot(example(1))
    (found,) = replay(
        [first, snapshot(example(2, split="gate"), replayed=(example(1),))],
        [],
        base_digest="B",
        seed=0,
    )
    assert found.recall == Recall("r", 1, 1, 0, None, None)


def test_what_no_step_had_a_place_for_is_not_counted_as_replayed() -> None:
    chain = [
        snapshot(example(1), example(2), run="r0"),
        Snapshot("r1", 0.0, "B", (), (example(1), example(2))),
    ]
    logs = {
        "r0": RecallLog({}, {"t1": 1.0, "t2": 1.0}, {}),
        "r1": RecallLog({"t1": 1.0}, {}, {"t1": 3}),
    }
    found = replay(chain, [], base_digest="B", seed=0, recall_logs=logs)
    assert [(e.id, e.recall.replayed, e.recall.overdue) for e in found if e.recall] == [
        ("t2", 0, 1),
        ("t1", 1, -1),
    ]


def test_a_version_that_was_rolled_back_leaves_no_trace() -> None:
    """Its run is not in the chain, so what it replayed is as due as before."""
    chain = [snapshot(example(1), run="r0")]
    logs = {
        "r0": RecallLog({}, {"t1": 1.0}, {}),
        "undone": RecallLog({"t1": 1.0}, {}, {"t1": 1}),
    }
    (found,) = replay(chain, [], base_digest="B", seed=0, recall_logs=logs)
    assert found.recall is not None
    assert (found.recall.overdue, found.recall.replayed) == (0, 0)


# --- surprise breaks ties -------------------------------------------------------------------------


def test_of_two_drawn_together_the_more_surprising_comes_first() -> None:
    first = snapshot(*(example(n) for n in range(40)), run="r0")
    surprise = {f"t{n}": float(n) for n in range(40)}
    means = []
    for seed in range(20):
        found = ids(
            replay(
                [first],
                [],
                base_digest="B",
                seed=seed,
                recall_logs={"r0": RecallLog({}, surprise, {})},
                capacity=20,
            )
        )
        means.append(sum(surprise[i] for i in found) / 20)
    # by chance 19.5, winners of random pairs 26.2; the twenty most surprising, which would be
    # noise, 29.5
    assert 25 < sum(means) / 20 < 27.5
    assert max(means) < 29.5


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 5))
def test_whatever_is_known_everything_that_fits_is_there_once(
    values: list[float | None], seed: int
) -> None:
    first = snapshot(*(example(n) for n in range(len(values))), run="r0")
    memory = RecallLog({}, {f"t{n}": v for n, v in enumerate(values) if v is not None}, {})
    found = ids(replay([first], [], base_digest="B", seed=seed, recall_logs={"r0": memory}))
    assert sorted(found) == sorted(e.id for e in first.examples)


def test_a_more_overdue_one_comes_before_a_more_surprising_one() -> None:
    chain = [snapshot(example(1), run="r0"), snapshot(example(2), run="r1")]
    logs = {"r0": RecallLog({}, {"t1": 0.1}, {}), "r1": RecallLog({}, {"t2": 9.0}, {})}
    assert ids(replay(chain, [], base_digest="B", seed=0, recall_logs=logs, capacity=1)) == ["t1"]


# --- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recall", "said"),
    [
        (
            Recall("R1", 0, 1, 0, None, 0.8),
            "learned by run R1, not replayed yet (0.80 nat a token when last seen); due (every 1 "
            "cycle)",
        ),
        (
            Recall("R1", 1, 2, 3, False, None),
            "learned by run R1, replayed in 1 cycle since, still known; 3 overdue (every 2 cycles)",
        ),
        (
            Recall("", 2, 1, -1, True, 1.5),
            "learned by run unknown, replayed in 2 cycles since, forgotten since (1.50 nat a token "
            "when last seen); due in 1",
        ),
        (Recall("R1", 1, 1, 0, None, None), "not known whether it was forgotten"),
    ],
)
def test_every_replayed_example_says_why(recall: Recall, said: str) -> None:
    assert said in why(recall)
