"""The mixed model against closed forms, against least squares with a written-out covariance, and by
how often it errs on drawn sessions.
"""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.gate.mixed_model import (
    CAUTIOUS,
    HALF,
    LEAST_RATIO,
    UNINFORMATIVE,
    Correlation,
    Estimate,
    correlation_of,
    estimate,
    variances_of,
)
from qi_learn.stats import mean_interval

VALUES = st.lists(st.floats(-3, 3).map(lambda v: round(v, 3)), min_size=3, max_size=12)


@given(VALUES.filter(lambda values: len(set(values)) > 1))
def test_examples_of_sessions_of_their_own_give_students_interval(values: list[float]) -> None:
    """Whatever is believed of sessions then. Only skewness against the claim makes it wider."""
    alone = [f"s{n}" for n in range(len(values))]
    found, known = estimate(values, [1.0] * len(values), alone), mean_interval(values)
    assert found.mean == pytest.approx(known.mean, abs=1e-12)
    assert found.error == pytest.approx(known.error, rel=1e-9)
    assert found.freedom == pytest.approx(len(values) - 1, rel=1e-9)
    assert found.low() <= known.low + 1e-9
    assert found.high() >= known.high - 1e-9


def test_mean_and_error_are_those_of_least_squares_with_the_covariance_written_out() -> None:
    rng = random.Random(1)
    units = [f"s{rng.randrange(4)}" for _ in range(20)]
    variances = variances_of([rng.randrange(3, 60) for _ in units])
    values = [rng.gauss(0.1, 0.2) for _ in units]
    found = estimate(values, variances, units, correlation_of(0.2, 1e9))
    ratio, n = 0.2 / 0.8, len(units)
    covariance = np.diag(variances) + ratio * np.array([[a == b for b in units] for a in units])
    inverse, ones = np.linalg.inv(covariance), np.ones(n)
    mean = float(ones @ inverse @ values / (ones @ inverse @ ones))
    residual = np.array(values) - mean
    square = float(residual @ inverse @ residual / (n - 1))
    assert found.mean == pytest.approx(mean, rel=1e-6)
    assert found.error == pytest.approx(math.sqrt(square / float(ones @ inverse @ ones)), rel=1e-6)
    assert found.freedom == pytest.approx(n - 1, rel=1e-3), "nothing is left to learn of the ratio"
    assert found.rho == pytest.approx(0.2, rel=1e-3)


def test_of_one_session_nothing_is_sure() -> None:
    found = estimate([0.5] * 10 + [0.6] * 10, [1.0] * 20, ["s"] * 20)
    assert found.mean == pytest.approx(0.55)
    assert (found.low(), found.high(), found.p_above(0.0)) == (-math.inf, math.inf, 1.0)
    assert found.own == UNINFORMATIVE


def test_what_is_not_known_of_the_sessions_makes_it_less_sure() -> None:
    rng = random.Random(2)
    units = [f"s{n % 3}" for n in range(24)]
    values = [rng.gauss(0.1, 0.14) for _ in units]
    beliefs = (CAUTIOUS, CAUTIOUS + correlation_of(0.08, 10), correlation_of(0.08, 1e6))
    lows = [estimate(values, [1.0] * 24, units, known).low() for known in beliefs]
    assert lows == sorted(lows)
    assert lows[0] < lows[-1]


def test_a_look_adds_to_what_is_known_and_few_looks_are_not_believed() -> None:
    """Sessions that do not hang together at all: the belief sinks from the cautious one, slowly."""
    rng, known = random.Random(3), CAUTIOUS
    beliefs = [known.rho]
    for _ in range(60):
        values = [rng.gauss(0, 1) for _ in range(24)]
        known += estimate(values, [1.0] * 24, [f"s{n % 3}" for n in range(24)], known).own
        beliefs.append(known.rho)
    assert beliefs[0] == pytest.approx(0.3)
    assert beliefs[3] > 0.05
    assert beliefs[-1] < 0.05
    assert min(beliefs) >= LEAST_RATIO / (1 + LEAST_RATIO)


def test_looks_find_the_correlation_that_there_is() -> None:
    rng, found = random.Random(4), UNINFORMATIVE
    for _ in range(300):
        shared = [rng.gauss(0, math.sqrt(0.2)) for _ in range(4)]
        units = [n % 4 for n in range(24)]
        values = [shared[u] + rng.gauss(0, math.sqrt(0.8)) for u in units]
        found += estimate(values, [1.0] * 24, [str(u) for u in units]).own
    assert found.rho == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(("examples", "sessions"), [(5, 2), (8, 2), (10, 2), (12, 3), (25, 3)])
def test_no_unlucky_look_makes_what_all_have_told_useless(examples: int, sessions: int) -> None:
    """The unluckiest of 2,000 small looks without a correlation, after ten at 0.08."""
    rng, known = random.Random(7), CAUTIOUS + correlation_of(0.08, 20)
    excess = []
    for _ in range(2000):
        values = [rng.gauss(0, 1) for _ in range(examples)]
        units = [f"s{n % sessions}" for n in range(examples)]
        excess.append(estimate(values, [1.0] * examples, units).own)
    assert (known + max(excess, key=lambda own: own.excess)).rho < CAUTIOUS.rho


def test_equal_differences_say_nothing_of_the_correlation() -> None:
    found = estimate([0.1] * 9, variances_of([7] * 9), ["a", "b", "c"] * 3)
    assert found.own == UNINFORMATIVE
    assert found.low() == pytest.approx(0.1)
    assert found.p_above(0.0) == pytest.approx(0.0, abs=1e-12)


def test_short_texts_weigh_less_and_no_long_one_decides_alone() -> None:
    three, thirty, thousand = variances_of([3, 30, 1000])
    assert three / thirty == pytest.approx((1 + HALF / 3) / 2)
    assert thirty / thousand < 2, "a text of any length weighs less than two of thirty tokens"
    assert math.fsum([three, thirty, thousand]) == pytest.approx(3)


@given(
    VALUES.filter(lambda values: len(set(values)) > 1),
    st.floats(0.0001, 0.4),
    st.floats(-1, 1),
    st.integers(2, 4),
)
def test_a_bound_and_its_p_value_say_the_same(
    values: list[float], level: float, value: float, sessions: int
) -> None:
    units = [f"s{n % sessions}" for n in range(len(values))]
    found = estimate(values, [1.0] * len(values), units)
    low, p = found.low(level), found.p_above(value)
    if abs(low - value) > 1e-6:
        assert (p <= level) is (low >= value)


def test_skewness_against_the_claim_widens_its_bound_and_in_its_favour_narrows_nothing() -> None:
    seldom_worse = [0.2] * 9 + [-1.0]
    units = [f"s{n}" for n in range(10)]
    against, plain = estimate(seldom_worse, [1.0] * 10, units), mean_interval(seldom_worse)
    assert against.low() < plain.low - 0.01
    assert against.high() == pytest.approx(plain.high)
    assert against.negated.high() == pytest.approx(-against.low())


def test_a_smaller_level_has_a_lower_bound() -> None:
    found = estimate([0.1, 0.3, -0.2, 0.4, 0.0, 0.2], [1.0] * 6, ["a", "a", "b", "b", "c", "c"])
    bounds = [found.low(level) for level in (0.2, 0.05, 0.01, 0.0001)]
    assert all(above > below for above, below in pairwise(bounds))


@pytest.mark.parametrize("sessions", [2, 3, 8])
@pytest.mark.parametrize("rho", [0.0, 0.08, 0.3])
def test_nothing_passes_for_better_in_about_one_case_of_twenty(sessions: int, rho: float) -> None:
    """With what many looks said of the correlation; 600 draws, 3.5 standard errors are allowed."""
    rng, known = random.Random(f"{sessions} {rho}"), CAUTIOUS + correlation_of(rho, 40)
    passed = sum(drawn(rng, sessions, rho, known).p_above(0.0) <= 0.05 for _ in range(600))
    assert passed / 600 <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 600)


def drawn(rng: random.Random, sessions: int, rho: float, known: Correlation) -> Estimate:
    """25 differences of mean 0, over sessions of random size."""
    units = [*range(sessions), *(rng.randrange(sessions) for _ in range(25 - sessions))]
    shared = [rng.gauss(0, math.sqrt(rho)) for _ in range(sessions)]
    values = [shared[u] + rng.gauss(0, math.sqrt(1 - rho)) for u in units]
    return estimate(values, [1.0] * 25, [str(u) for u in units], known)


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ValueError, match="no differences"):
        estimate([], [], [])
    with pytest.raises(ValueError, match="not above 0"):
        estimate([1.0], [0.0], ["a"])
    with pytest.raises(ValueError, match="zip"):
        estimate([1.0, 2.0], [1.0], ["a", "b"])
