"""What nights of looking may show: at most 1 of 20 who have nothing to find ever find something."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.e_process import BOUND, ENOUGH, MARGIN, e_process, session_difference

NIGHTS, HOMES = 200, 150
SD, RHO = 0.14, 0.08
"""Of the difference of a text of middling length, and how much of it its session has in common."""
MOST = 12
"""Texts of a session."""

Draw = np.random.Generator
Numbers = NDArray[np.float64]
Noise = Callable[[Draw, tuple[int, ...]], Numbers]


def normal(draw: Draw, shape: tuple[int, ...]) -> Numbers:
    return draw.standard_normal(shape)


def heavy(draw: Draw, shape: tuple[int, ...]) -> Numbers:
    """Student's t with three degrees of freedom."""
    return draw.standard_t(3, shape) / math.sqrt(3)


def skewed(draw: Draw, shape: tuple[int, ...]) -> Numbers:
    """Mostly a little worse, sometimes much better."""
    return 1 - draw.exponential(1, shape)


def skewed_and_heavy(draw: Draw, shape: tuple[int, ...]) -> Numbers:
    above = draw.lognormal(0, 1, shape) - math.exp(0.5)
    return -above / math.sqrt((math.e - 1) * math.e)


def rare(draw: Draw, shape: tuple[int, ...]) -> Numbers:
    """One of fifty texts has all of it."""
    return np.where(draw.random(shape) < 0.02, -7.0, 1 / 7)


def worked(draw: Draw, noise: Noise, sessions: int, *, worse: float, sd: float) -> list[float]:
    """What sessions of 1 to 12 texts of a few to some hundred tokens say."""
    tokens = np.maximum(1, np.exp(draw.normal(3.2, 1, (sessions, MOST)))).astype(int)
    common = noise(draw, (sessions, 1)) * math.sqrt(RHO)
    own = noise(draw, (sessions, MOST)) * np.sqrt((1 - RHO) * (1 + 30 / tokens) / 2)
    differences = worse + sd * (common + own)
    counts = draw.integers(1, MOST + 1, sessions)
    return [
        session_difference(differences[n, :count].tolist(), tokens[n, :count].tolist())
        for n, count in enumerate(counts)
    ]


def found(noise: Noise, *, sd: float, worse: float = 0.0, sessions: int) -> float:
    """The share of homes in which it is ever taken for worse."""
    draw = np.random.default_rng(7)
    homes = (e_process(worked(draw, noise, sessions, worse=worse, sd=sd)) for _ in range(HOMES))
    return sum(home.highest >= ENOUGH for home in homes) / HOMES


@pytest.mark.parametrize("noise", [normal, heavy, skewed, skewed_and_heavy, rare])
@pytest.mark.parametrize("sd", [SD, 3 * SD])
def test_two_hundred_nights_of_nothing_find_something_in_one_of_twenty(
    noise: Noise, sd: float
) -> None:
    assert found(noise, sd=sd, sessions=NIGHTS) <= 0.05


def test_a_tenth_of_a_nat_is_found_within_forty_sessions() -> None:
    assert found(normal, sd=SD, worse=0.1, sessions=40) >= 0.9


def test_what_is_within_the_margin_is_no_difference() -> None:
    assert found(normal, sd=SD, worse=MARGIN, sessions=NIGHTS) <= 0.05


@pytest.mark.parametrize("truth", [0.0, MARGIN])
def test_no_session_gains_on_average_even_at_the_bound(truth: float) -> None:
    """The fairest wager there is: all or nothing of the bound, right on average."""
    up = (BOUND + truth) / (2 * BOUND)
    after = up * e_process([BOUND]).now + (1 - up) * e_process([-BOUND]).now
    assert after <= 1 + 1e-12


def test_evidence_never_runs_out() -> None:
    lost = e_process([-BOUND] * 50)
    assert 0 < lost.now < 1e-6
    assert lost.highest == 1
    assert e_process([*[BOUND] * 12, *[-BOUND] * 50]).highest >= ENOUGH


def test_a_session_counts_the_same_in_both_directions() -> None:
    there = session_difference([0.2, -0.05, 0.4], [12, 80, 3])
    assert session_difference([-0.2, 0.05, -0.4], [12, 80, 3]) == -there


def test_short_texts_say_little_and_long_ones_do_not_decide_alone() -> None:
    assert session_difference([0.2], [1]) < 0.01
    assert session_difference([0.2], [30]) == pytest.approx(0.2 / 3)
    assert session_difference([0.2, 0.0], [1000, 60]) == pytest.approx(0.07, abs=0.01)
    assert session_difference([50.0], [1000]) == BOUND


@pytest.mark.parametrize("tokens", [[], [3, 0]])
def test_a_session_without_texts_says_nothing(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="without"):
        session_difference([0.1] * len(tokens), tokens)
