"""Student's t and the intervals, against tables, closed forms and the density integrated on the spot."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.stats import choose_units, incomplete_beta, mean_interval, median, paired_interval, t_cdf, t_quantile

# One-sided 95 % column of the t table, NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2 (rows: degrees of freedom).
TABLE_95 = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 7: 1.895, 10: 1.812, 15: 1.753, 20: 1.725, 24: 1.711, 30: 1.697, 60: 1.671, 100: 1.660}
TABLE_99 = {1: 31.821, 2: 6.965, 5: 3.365, 10: 2.764, 24: 2.492, 60: 2.390, 100: 2.364}


@pytest.mark.parametrize(("freedom", "expected"), TABLE_95.items())
def test_the_95_quantile_is_the_tables(freedom: int, expected: float) -> None:
    assert round(t_quantile(0.95, freedom), 3) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("freedom", "expected"), TABLE_99.items())
def test_the_99_quantile_is_the_tables(freedom: int, expected: float) -> None:
    assert round(t_quantile(0.99, freedom), 3) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0.001, 0.999))
def test_one_and_two_degrees_have_closed_forms(p: float) -> None:
    assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9, abs=1e-9)
    assert t_quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("freedom", [1.5, 3, 7, 24, 63, 199])
@pytest.mark.parametrize("t", [-3.0, -0.4, 0.01, 0.9, 2.5])
def test_the_distribution_is_the_integral_of_its_density(t: float, freedom: float) -> None:
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    steps = 2000  # Simpson's rule from 0 to t
    width = t / steps
    density = [scale * (1 + (i * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    integral = width / 3 * (density[0] + density[-1] + 4 * sum(density[1:-1:2]) + 2 * sum(density[2:-1:2]))
    assert t_cdf(t, freedom) == pytest.approx(0.5 + integral, abs=1e-11)


@given(st.floats(0.0, 1.0), st.integers(1, 30), st.integers(1, 30))
def test_whole_numbers_make_the_incomplete_beta_a_binomial_tail(x: float, a: int, b: int) -> None:
    n = a + b - 1
    tail = math.fsum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
    assert incomplete_beta(x, a, b) == pytest.approx(tail, abs=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 400))
def test_the_quantile_undoes_the_distribution(p: float, freedom: int) -> None:
    assert t_cdf(t_quantile(p, freedom), freedom) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.5, 2.0, math.nan])
def test_impossible_probabilities_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        t_quantile(bad, 5)


def test_an_interval_by_hand() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 4.0])
    reach = 2.3533634348 * math.sqrt(5 / 3) / 2
    assert (found.mean, found.units) == (2.5, 4)
    assert (found.low, found.high) == (pytest.approx(2.5 - reach), pytest.approx(2.5 + reach))


def test_one_value_says_nothing_about_the_spread() -> None:
    found = mean_interval([0.3])
    assert (found.mean, found.low, found.high) == (0.3, -math.inf, math.inf)


def test_tokens_weigh_within_a_unit_and_units_weigh_the_same() -> None:
    found = paired_interval([10.0, 0.0, 3.0], [10, 30, 3], ["a", "a", "b"])
    assert found.units == 2
    assert found.mean == pytest.approx((10 / 40 + 1.0) / 2)


def test_units_without_tokens_are_left_out() -> None:
    assert paired_interval([0.0, 2.0, 4.0], [0, 2, 2], ["a", "b", "c"]).units == 2
    with pytest.raises(ValueError, match="weight"):
        paired_interval([0.0], [0], ["a"])


def test_a_broken_number_stays_visible() -> None:
    assert math.isnan(mean_interval([1.0, math.nan]).low)


def test_sessions_are_the_units_from_eight_on() -> None:
    ids = [f"e{i}" for i in range(16)]
    seven = [f"s{i % 7}" for i in range(16)]
    eight = [f"s{i % 8}" for i in range(15)] + [""]
    assert choose_units(ids, seven) == tuple(ids)
    assert choose_units(ids, eight) == (*eight[:15], "e15")


def test_the_bound_holds_as_often_as_it_says() -> None:
    """5 % of the lower bounds may lie above the true mean; 4,000 draws of 10 normal values put 99.9 % of such counts within 4-6.2 %."""
    draw = random.Random(1)
    wrong = sum(mean_interval([draw.gauss(0, 1) for _ in range(10)]).low > 0 for _ in range(4000))
    assert 0.039 <= wrong / 4000 <= 0.062


def test_median() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert math.isnan(median([]))
