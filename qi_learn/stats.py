"""Arithmetic of measured differences.

Student's t, one-sided intervals over independent units, and what such a unit is; shares of yes and
no.

Everything is paired: the same example under two models, one difference each. Examples of one
session resemble each other, so they are first averaged within their unit and the interval is taken
over the units' means. Inside a unit every target token counts the same; between units every unit
counts the same, whatever its length, so that one long session cannot decide alone. Value and bounds
are of that same mean, so the value always lies between them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over units with its two one-sided 95 % bounds.

    Each bound holds alone; together they are a 90 % interval. `low` and `high` are infinite with
    fewer than two units: nothing is known about the spread.
    """

    mean: float
    low: float
    high: float
    units: int
    error: float = math.nan
    """Standard error of the mean; NaN if it is not known."""

    @property
    def negated(self) -> Interval:
        """The interval of the same differences, taken the other way round."""
        return Interval(-self.mean, -self.high, -self.low, self.units, self.error)


def choose_units(ids: Sequence[str], sessions: Sequence[str]) -> tuple[str, ...]:
    """What counts as independent, one name an example: its session, or itself if it has none.

    Never the example instead of the session, however few sessions there are: of updates that change
    nothing, up to two in five would pass as better (docs/internals/decisions/0010). Raises
    ValueError if the two sequences differ in length.
    """
    if len(ids) != len(sessions):
        raise ValueError(f"{len(ids)} ids and {len(sessions)} sessions")
    return tuple(session or name for name, session in zip(ids, sessions, strict=True))


def paired_interval(
    differences: Sequence[float],
    weights: Sequence[float],
    units: Sequence[str],
    *,
    confidence: float = 0.95,
) -> Interval:
    """The interval of the mean difference per weight.

    That is in nats per token: `differences` are sums over tokens, `weights` token counts.

    A unit's mean is sum(difference) / sum(weight) over its examples; units without weight are left
    out. mean ± t(confidence, n - 1) s / sqrt(n), with s the standard deviation (n - 1) of the n
    unit means. Raises ValueError if lengths differ, a weight is negative, or no unit has weight.
    """
    if any(w < 0 for w in weights):
        raise ValueError("a weight is negative")
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for difference, weight, unit in zip(differences, weights, units, strict=True):
        sums[unit][0] += difference
        sums[unit][1] += weight
    means = [total / weight for total, weight in sums.values() if weight > 0]
    if not means:
        raise ValueError("no unit has any weight")
    return mean_interval(means, confidence=confidence)


def mean(values: Sequence[float]) -> float:
    """The mean; NaN for none."""
    return math.fsum(values) / len(values) if values else math.nan


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """The t interval of the mean of independent values.

    NaN in, NaN out. Raises ValueError for no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n)
    error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    reach = t_quantile(confidence, n - 1) * error
    return Interval(mean, mean - reach, mean + reach, n, error)


def p_above(interval: Interval, value: float) -> float:
    """One-sided p-value of "the true mean is not above `value`".

    At most 0.05 exactly when `low` is at least `value`. 1 if nothing is known.
    """
    if not math.isfinite(interval.error):
        return 1.0
    if interval.error == 0:
        return 0.0 if interval.mean > value else 1.0
    return 1.0 - t_cdf((interval.mean - value) / interval.error, interval.units - 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values.

    Claim what is at most 0.05, and the chance that any of the claims is wrong is at most 0.05,
    however they hang together.

    The smallest is multiplied by their number, the next by one less, and so on; none becomes
    smaller than the one before it, or larger than 1.
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    floor = 0.0
    for rank, name in enumerate(ordered):
        floor = max(floor, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = floor
    return adjusted


def evenly(items: Sequence[T], most: int) -> tuple[T, ...]:
    """At most `most` of the items, in their order, spread over all of them."""
    count = min(most, len(items))
    return tuple(items[n * len(items) // count] for n in range(count))


def median(values: Sequence[float]) -> float:
    """The middle value; NaN for none."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return math.nan
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score bounds of a share.

    Each is a p with (share - p)^2 = z^2 p (1 - p) / n: the share lies z standard errors of p itself
    away. Each bound holds alone with `confidence`, as in `Interval`. Raises ValueError for no
    trials.
    """
    if trials == 0:
        raise ValueError("no trials")
    share, square = successes / trials, NormalDist().inv_cdf(confidence) ** 2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = math.sqrt(square * (share * (1 - share) / trials + square / (4 * trials**2))) / (
        1 + square / trials
    )
    return Interval(
        share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)), trials
    )


def mcnemar_mid_p(lost: int, gained: int) -> float:
    """How surprising so many losses are if losing and gaining are equally likely.

    P(X > lost) + P(X = lost) / 2, X binomial(lost + gained, 1/2).

    McNemar's test on pairs of yes and no, one-sided. The mid-p form errs less often than its level
    says, the exact one much less, which costs power (Fagerland, Lydersen and Laake 2013).
    """
    changed = lost + gained
    ways = [math.comb(changed, k) for k in range(lost, changed + 1)]
    return (sum(ways) - ways[0] / 2) / 2.0**changed


def t_cdf(t: float, freedom: float) -> float:
    """P(T <= t) for Student's t.

    Abramowitz & Stegun 26.7.1 through the regularised incomplete beta function.
    """
    if freedom <= 0:
        raise ValueError("degrees of freedom must be above 0")
    if t == 0:
        return 0.5
    square = t * t
    if square > freedom:
        tail = 0.5 * incomplete_beta(freedom / (freedom + square), freedom / 2, 0.5)
    else:  # near the middle the complement keeps the digits that 1 - x would lose
        tail = 0.5 * (1.0 - incomplete_beta(square / (freedom + square), 0.5, freedom / 2))
    return 1.0 - tail if t > 0 else tail


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: float) -> float:
    """The t below which Student's distribution has `probability`.

    Found by Newton's steps on `t_cdf`, kept within a bracket that is halved where they leave it, to
    the last bits. Raises ValueError for a probability outside (0, 1) or no degrees of freedom.
    """
    if not 0 < probability < 1:
        raise ValueError("a probability lies between 0 and 1")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, freedom)
    if probability == 0.5:
        return 0.0
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < probability:
        low, high = high, high * 2
    t, least = (low + high) / 2, math.log(freedom) / 2 + _log_beta(freedom / 2, 0.5)
    while low < t < high:
        over = t_cdf(t, freedom) - probability
        low, high = (t, high) if over < 0 else (low, t)
        density = math.exp(-least - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = over / density
        if abs(step) < 1e-15 * t:
            return t
        t = t - step if low < t - step < high else (low + high) / 2
    return high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for 0 <= x <= 1 and a, b > 0.

    Continued fraction DLMF 8.17.22, evaluated forward with Lentz's method as modified by Thompson
    and Barnett; it converges fast for x < (a + 1) / (a + b + 2), elsewhere I_x(a, b) = 1 -
    I_{1-x}(b, a).
    """
    if not 0 <= x <= 1 or a <= 0 or b <= 0:
        raise ValueError("the incomplete beta function needs 0 <= x <= 1 and a, b > 0")
    if x in (0, 1):
        return float(x)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    front = (
        math.exp(
            a * math.log(x)
            + b * math.log1p(-x)
            + math.lgamma(a + b)
            - math.lgamma(a)
            - math.lgamma(b)
        )
        / a
    )
    return front / _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22-23."""
    tiny = 1e-300
    value = upper = 1.0
    lower = 0.0
    for k in range(1, 10_000):
        m = k // 2
        odd, even = -(a + m) * (a + b + m) / (a + 2 * m + 1), m * (b - m) / (a + 2 * m - 1 or tiny)
        step = (odd if k % 2 else even) * x / (a + 2 * m)
        lower = 1.0 / (1.0 + step * lower or tiny)
        upper = 1.0 + step / upper or tiny
        change = upper * lower
        value *= change
        if abs(change - 1.0) < 1e-16:
            return value
    raise ArithmeticError(f"the continued fraction of I_{x}({a}, {b}) did not converge")
