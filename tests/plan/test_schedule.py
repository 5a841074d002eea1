"""What a step sees: the plan's shares, each pool gone through fairly, the same for each seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from qi_learn.plan.schedule import PADDED, Sample, alike, samples, schedule
from qi_learn.records import Example


def _example(prompt: int, target: int) -> Example:
    return Example(
        "e",
        "e",
        "",
        "",
        tuple(range(prompt)),
        tuple(range(100, 100 + target)),
        (True,) * target,
        weight=0.5,
    )


def _pool(name: str, count: int) -> tuple[Sample, ...]:
    return tuple(Sample(f"{name}{n}", (1,) * (5 + n % 7), 2) for n in range(count))


def _kinds(step: tuple[Sample, ...]) -> Counter[str]:
    return Counter(s.id.rstrip("0123456789") for s in step)


def test_an_example_is_prompt_and_target() -> None:
    (sample,) = samples([_example(3, 10)], 64)
    assert sample == Sample("e", (0, 1, 2, *range(100, 110)), 3, 0.5)
    assert sample.targets == 10


def test_generic_code_has_no_prompt_and_its_first_token_is_given() -> None:
    (sample,) = samples([_example(0, 10)], 64)
    assert (sample.start, sample.targets) == (1, 9)


@pytest.mark.parametrize(
    ("prompt", "target", "limit", "left"),
    [
        (10, 50, 30, 20),
        (10, 50, 18, 8),
        (10, 50, 17, None),
        (40, 50, 30, None),
        (10, 3, 64, 3),
        (10, 3, 12, None),
        (0, 1, 64, None),
    ],
)
def test_long_ones_lose_their_end_but_never_the_head_of_their_prompt(
    prompt: int, target: int, limit: int, left: int | None
) -> None:
    found = samples([_example(prompt, target)], limit)
    assert [s.targets for s in found] == ([left] if left is not None else [])
    assert all(s.ids[:prompt] == tuple(range(prompt)) for s in found)


def test_the_mix_is_five_new_two_old_one_generic() -> None:
    steps = schedule(
        _pool("new", 9),
        _pool("old", 5),
        _pool("gen", 3),
        steps=20,
        size=8,
        replay_share=0.25,
        generic_share=0.125,
        seed=1,
    )
    assert len(steps) == 20
    assert all(_kinds(step) == {"new": 5, "old": 2, "gen": 1} for step in steps)
    assert all(len(a.ids) >= len(b.ids) for step in steps for a, b in pairwise(step))


def test_an_empty_pool_gives_its_places_to_new_work() -> None:
    new = _pool("new", 9)
    assert _kinds(
        schedule(
            new,
            (),
            _pool("gen", 3),
            steps=1,
            size=8,
            replay_share=0.25,
            generic_share=0.125,
            seed=1,
        )[0]
    ) == {"new": 7, "gen": 1}
    assert _kinds(
        schedule(new, (), (), steps=1, size=8, replay_share=0.25, generic_share=0.125, seed=1)[0]
    ) == {"new": 8}
    assert _kinds(
        schedule(
            new,
            _pool("old", 1),
            _pool("gen", 1),
            steps=1,
            size=8,
            replay_share=0.0,
            generic_share=0.0,
            seed=1,
        )[0]
    ) == {"new": 8}
    assert _kinds(
        schedule(
            new, _pool("old", 1), (), steps=1, size=8, replay_share=0.01, generic_share=0.0, seed=1
        )[0]
    ) == {"new": 7, "old": 1}


def test_nothing_comes_twice_before_everything_came_once() -> None:
    steps = schedule(
        _pool("new", 10), (), (), steps=30, size=8, replay_share=0.0, generic_share=0.0, seed=3
    )
    counts = Counter(s.id for step in steps for s in step)
    assert set(counts.values()) == {24}


def test_the_seed_decides() -> None:
    def make(seed: int) -> list[tuple[Sample, ...]]:
        return schedule(
            _pool("new", 10),
            _pool("old", 4),
            (),
            steps=10,
            size=8,
            replay_share=0.25,
            generic_share=0.125,
            seed=seed,
        )

    assert make(1) == make(1)
    assert make(1) != make(2)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_micro_batches_keep_order_and_pad_little(size: int) -> None:
    lengths = [90, 88, 80, 41, 40, 40, 39, 9, 8, 8, 2]
    given = [Sample(str(n), (1,) * length, 1) for n, length in enumerate(lengths)]
    parts = list(alike(given, size))
    assert [sample for part in parts for sample in part] == given
    assert all(len(part) <= size for part in parts)
    assert all(
        len(part) * len(part[0].ids) <= PADDED * sum(len(s.ids) for s in part) for part in parts
    )
    assert size < 8 or [len(part) for part in parts] == [4, 4, 2, 1]
    assert list(alike([], size)) == []
