"""Student's t and the intervals, against tables, closed forms and the density integrated on the
spot.
"""

from __future__ import annotations

import math
import random
from itertools import pairwise, product
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.stats import (
    choose_units,
    evenly,
    holm,
    incomplete_beta,
    mcnemar_mid_p,
    mean_interval,
    median,
    p_above,
    paired_interval,
    t_cdf,
    t_quantile,
    wilson_interval,
)  # fmt: skip

# One-sided 95 % column of the t table, NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2
# (rows: degrees of freedom).
TABLE_95 = {
    1: 6.314,
    2: 2.920,
    3: 2.353,
    4: 2.132,
    5: 2.015,
    7: 1.895,
    10: 1.812,
    15: 1.753,
    20: 1.725,
    24: 1.711,
    30: 1.697,
    60: 1.671,
    100: 1.660,
}
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
    assert t_quantile(p, 2) == pytest.approx(
        (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("freedom", [1.5, 3, 7, 24, 63, 199])
@pytest.mark.parametrize("t", [-3.0, -0.4, 0.01, 0.9, 2.5])
def test_the_distribution_is_the_integral_of_its_density(t: float, freedom: float) -> None:
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(
        freedom * math.pi
    )
    steps = 2000  # Simpson's rule from 0 to t
    width = t / steps
    density = [
        scale * (1 + (i * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)
    ]
    integral = (
        width / 3 * (density[0] + density[-1] + 4 * sum(density[1:-1:2]) + 2 * sum(density[2:-1:2]))
    )
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
    assert found.low == pytest.approx(2.5 - reach)
    assert found.high == pytest.approx(2.5 + reach)


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


def test_the_session_is_the_unit_however_few_there_are() -> None:
    assert choose_units(["a", "b", "c"], ["s", "s", ""]) == ("s", "s", "c")
    with pytest.raises(ValueError, match="3 ids and 2 sessions"):
        choose_units(["a", "b", "c"], ["s", "s"])


@pytest.mark.parametrize("sessions", [3, 5, 12])
def test_examples_that_share_a_session_do_not_pass_for_independent_ones(sessions: int) -> None:
    """Nothing changed, and whole sessions go up and down together: the bound over sessions errs in
    5 % (2,000 draws: 3.5 to 6.5), over examples in far more.
    """
    draw = random.Random(sessions)
    wrong = {"session": 0, "example": 0}
    for _ in range(2000):
        shared = [draw.gauss(0, 1) for _ in range(sessions)]
        units = [f"s{i % sessions}" for i in range(24)]
        values = [shared[i % sessions] + draw.gauss(0, 1) for i in range(24)]
        wrong["session"] += paired_interval(values, [1.0] * 24, units).low > 0
        wrong["example"] += paired_interval(values, [1.0] * 24, [str(i) for i in range(24)]).low > 0
    assert 0.035 <= wrong["session"] / 2000 <= 0.065
    assert wrong["example"] / 2000 > 0.08


# --- p-values and several claims at once ----------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.floats(-5, 5))
def test_a_p_value_says_what_the_bound_says(values: list[float], limit: float) -> None:
    found = mean_interval(values)
    p = p_above(found, limit)
    assert 0.0 <= p <= 1.0
    if abs(found.low - limit) > 1e-9:
        assert (p <= 0.05) is (found.low > limit)
    assert p_above(found.negated, -limit) == pytest.approx(1.0 - p, abs=1e-9) or found.error == 0


def test_a_p_value_by_hand() -> None:
    """Three values, two degrees of freedom: P(T > t) = 1/2 - t / (2 sqrt(2 + t^2))."""
    t = 2.0 / (1.0 / math.sqrt(3))  # mean 2, standard deviation 1
    assert p_above(mean_interval([1.0, 2.0, 3.0]), 0.0) == pytest.approx(
        0.5 - t / (2 * math.sqrt(2 + t * t))
    )
    assert p_above(mean_interval([1.0]), 0.0) == 1.0
    assert (p_above(mean_interval([1.0, 1.0]), 0.0), p_above(mean_interval([1.0, 1.0]), 1.0)) == (
        0.0,
        1.0,
    )


def test_holm_by_hand() -> None:
    """Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, which may not fall below the one before."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == {
        "d": pytest.approx(0.02),
        "a": pytest.approx(0.03),
        "c": pytest.approx(0.06),
        "b": pytest.approx(0.06),
    }
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), max_size=6), st.floats(0.001, 0.3)
)
def test_holm_claims_what_the_step_down_procedure_claims(
    p_values: dict[str, float], level: float
) -> None:
    """The procedure as it is defined: the smallest against level / k, the next against level / (k -
    1), until one fails.
    """
    claimed: set[str] = set()
    for place, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        if (len(p_values) - place) * p_values[name] > level:
            break
        claimed.add(name)
    assert {name for name, p in holm(p_values).items() if p <= level} == claimed


def test_holm_keeps_what_it_promises_also_for_claims_that_hang_together() -> None:
    """Four true nulls that share most of their noise: any wrong claim in at most 5 % (4,000 draws:
    6 % is 3 standard errors more).
    """
    draw, wrong = random.Random(5), 0
    for _ in range(4000):
        shared = draw.gauss(0, 1)
        normal = [0.8 * shared + 0.6 * draw.gauss(0, 1) for _ in range(4)]
        p_values = {str(i): 0.5 * math.erfc(z / math.sqrt(2)) for i, z in enumerate(normal)}
        wrong += min(holm(p_values).values()) <= 0.05
    assert wrong / 4000 <= 0.06


def test_the_bound_holds_as_often_as_it_says() -> None:
    """5 % of the lower bounds may lie above the true mean; 4,000 draws of 10 normal values put 99.9
    % of such counts within 4-6.2 %.
    """
    draw = random.Random(1)
    wrong = sum(mean_interval([draw.gauss(0, 1) for _ in range(10)]).low > 0 for _ in range(4000))
    assert 0.039 <= wrong / 4000 <= 0.062


def test_median() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert math.isnan(median([]))


# --- shares of yes and no -------------------------------------------------------------------------


@given(st.integers(1, 200), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bounds_of_a_share_lie_where_its_own_error_reaches_it(
    trials: int, part: float, confidence: float
) -> None:
    """The definition of the score interval, put in: |share - p| = z sqrt(p (1 - p) / n)."""
    successes = round(part * trials)
    found = wilson_interval(successes, trials, confidence=confidence)
    z = NormalDist().inv_cdf(confidence)
    for p in (found.low, found.high):
        assert abs(found.mean - p) == pytest.approx(z * math.sqrt(p * (1 - p) / trials), abs=1e-7)
    assert 0 <= found.low <= found.mean == successes / trials <= found.high <= 1


def test_a_share_of_nothing_is_no_share() -> None:
    with pytest.raises(ValueError, match="no trials"):
        wilson_interval(0, 0)


@pytest.mark.parametrize("changed", [0, 1, 2, 5, 9])
def test_mcnemars_mid_p_is_counted(changed: int) -> None:
    """Against all ways in which that many pairs can fall."""
    ways = [sum(signs) for signs in product((0, 1), repeat=changed)]
    for lost in range(changed + 1):
        counted = (sum(w > lost for w in ways) + sum(w == lost for w in ways) / 2) / len(ways)
        assert mcnemar_mid_p(lost, changed - lost) == pytest.approx(counted)


@pytest.mark.parametrize(("count", "most"), [(0, 5), (3, 5), (5, 5), (6, 5), (100, 7), (4, 0)])
def test_evenly_takes_what_is_asked_for_from_end_to_end(count: int, most: int) -> None:
    taken = evenly(range(count), most)
    assert len(taken) == min(count, most)
    assert list(taken) == sorted(set(taken))
    if most < count and taken:
        gaps = [b - a for a, b in pairwise((*taken, count))]
        assert taken[0] == 0
        assert max(gaps) - min(gaps) <= 1
