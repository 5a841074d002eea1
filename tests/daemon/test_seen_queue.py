"""What was seen is taken in by project: in order within one, the least first between them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from qi_learn.daemon.seen_queue import SeenQueue
from qi_learn.workspace.changes import FileSaved


def _save(project: str, number: int) -> FileSaved:
    return FileSaved(project, Path(project, f"f{number}.py"), f"x = {number}\n", float(number))


def _taken(queue: SeenQueue) -> Iterable[FileSaved]:
    while queue:
        first = queue.first()
        assert isinstance(first, FileSaved)
        yield first
        queue.drop()


def test_a_save_of_now_does_not_wait_for_another_projects_backlog() -> None:
    queue = SeenQueue()
    queue.extend(_save("/behind", n) for n in range(50))
    queue.first()
    queue.drop()
    queue.extend([_save("/now", 99)])
    assert [one.project for one in _taken(queue)] == ["/now", *["/behind"] * 49]


def test_projects_that_are_behind_are_done_one_after_the_other() -> None:
    queue = SeenQueue()
    for n in range(20):
        queue.extend(_save(f"/p{k}", n) for k in range(3))
    taken = [one.project for one in _taken(queue)]
    assert [len(set(taken[k : k + 20])) for k in (0, 20, 40)] == [1, 1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_a_projects_order_holds(seed: int) -> None:
    rng, queue = random.Random(seed), SeenQueue()
    put: dict[str, list[int]] = {}
    got: dict[str, list[int]] = {}
    number = 0
    while number < 200 or queue:
        if number < 200 and rng.random() < 0.6:
            seen = [_save(f"/p{rng.randrange(4)}", number + k) for k in range(rng.randrange(1, 4))]
            number += len(seen)
            queue.extend(seen)
            for one in seen:
                put.setdefault(one.project, []).append(int(one.ts))
        elif queue:
            first = queue.first()
            assert queue.first() is first
            assert len(queue) == sum(map(len, put.values())) - sum(map(len, got.values()))
            assert first.project in queue.projects
            got.setdefault(first.project, []).append(int(first.ts))
            queue.drop()
    assert got == put
    assert queue.projects == frozenset()


def test_an_empty_one_has_no_first() -> None:
    with pytest.raises(IndexError):
        SeenQueue().first()
