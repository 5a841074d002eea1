"""The version that earlier work is held against."""

from __future__ import annotations

import math
import random

from qi_learn.gate.best import best_of
from qi_learn.stats import mean


def test_the_best_is_one_version_and_not_the_lowest_of_each_example() -> None:
    assert best_of([(1.0, 9.0), (4.0, 4.0), (9.0, 1.5)]) == (4.0, 4.0)


def test_a_version_that_gave_no_number_is_not_the_best() -> None:
    assert best_of([(math.nan, 0.0), (2.0, 2.0)]) == (2.0, 2.0)
    assert best_of([(math.nan,)]) == ()
    assert best_of([]) == ()


def test_equally_good_versions_do_not_make_the_next_one_look_forgetful() -> None:
    """Five versions that differ by 0.1 nat an example: the lowest of each lies 0.12 below them all,
    more than may be lost; the best of them hardly below.
    """
    rng = random.Random(6)
    versions = [[1.0 + rng.gauss(0, 0.1) for _ in range(100)] for _ in range(5)]
    lowest = [min(nll) for nll in zip(*versions, strict=True)]
    assert 1.0 - mean(lowest) > 0.1
    assert 1.0 - mean(best_of(versions)) < 0.03
