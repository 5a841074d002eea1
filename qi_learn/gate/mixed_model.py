"""The mean of paired differences whose sessions hang together, by a mixed model.

The difference of example i in session j is mu + session_j + e_ij. Short texts are noisier: the
variance of e_ij is s^2 v_ij with v = 1 + HALF / tokens, scaled to a mean of 1. So a text of three
tokens weighs little, and one of a thousand hardly more than one of a hundred: no long text decides
alone. The variance of the sessions is `ratio` times s^2. Two to four sessions, which is what a gate
set has, say next to nothing about that ratio; it is pooled over all earlier looks, this one
included, and shrunk to a cautious one while those are few (decision 0067).

With q_j = W_j / (1 + ratio W_j), W_j the sum of 1 / v in session j: mu = sum(q_j mean_j) / sum(q_j)
and its variance s^2 / sum(q_j), with s^2 from all residuals. The degrees of freedom are
Satterthwaite's: n - 1, fewer by what is not known of the ratio. Skewness against the claim (mostly
a little better, sometimes much worse) widens its bound, by the second term of the expansion of
Student's t; skewness in its favour narrows nothing.

Not covered: sessions that hang together with each other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.gate.limits import ROUNDING
from qi_learn.stats import t_cdf, t_quantile

HALF = 30.0
"""Tokens at which half of a text's variance comes from its being short."""
LEAST_RATIO = 0.02
"""No pooled ratio is believed to be smaller."""
LEAST_WITHIN = 8
"""Degrees of freedom within sessions from which a look's squares are pooled with those of others.

With three, one look in a thousand told of an `excess` of 50 to 220, which no later one makes good;
with eight of 30, as a look at 25 examples does.
"""
EXPANDED = 3.0
"""Standard errors up to which the expansion for skewness is followed."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """How much more sessions differ than their examples alone would make them: sums over looks."""

    excess: float
    """Of the squares between sessions, over the variance within, less their freedom."""
    weight: float
    """What `excess` is expected to be if sessions vary as much as examples do."""
    freedom: float
    """Degrees of freedom between sessions."""

    def __add__(self, other: Correlation) -> Correlation:
        return Correlation(
            self.excess + other.excess, self.weight + other.weight, self.freedom + other.freedom
        )

    @property
    def ratio(self) -> float:
        """The variance of sessions over that of examples."""
        return max(LEAST_RATIO, self.excess / self.weight)

    @property
    def rho(self) -> float:
        """The correlation of two examples of one session."""
        return self.ratio / (1 + self.ratio)

    @property
    def variance(self) -> float:
        """That of the error of `ratio`."""
        return 2 * (self.freedom + self.weight * self.ratio) ** 2 / (self.freedom * self.weight**2)


def correlation_of(rho: float, freedom: float, *, session: float = 6.0) -> Correlation:
    """What looks with so many degrees of freedom, and sessions of that size, say if it is `rho`."""
    weight = freedom * session
    return Correlation(weight * rho / (1 - rho), weight, freedom)


UNINFORMATIVE = Correlation(0.0, 0.0, 0.0)
"""Of a look that says nothing about it."""
CAUTIOUS = correlation_of(0.3, 4.0)
"""Believed before anything was seen: four times what was measured (0.08), with the weight of the
first two looks.
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how sure it is."""

    mean: float
    error: float
    """Standard error; infinite if nothing is known of it."""
    freedom: float
    """Degrees of freedom of `error`."""
    skew: float
    """Skewness of the mean over 6: that of the residuals, over 6 square roots of their number."""
    examples: int
    units: int
    rho: float
    """The correlation within units that was believed."""
    own: Correlation
    """What these differences alone say about it, for later looks."""

    @property
    def negated(self) -> Estimate:
        """The estimate of the same differences, taken the other way round."""
        return Estimate(
            -self.mean,
            self.error,
            self.freedom,
            -self.skew,
            self.examples,
            self.units,
            self.rho,
            self.own,
        )

    def low(self, level: float = 0.05) -> float:
        """The bound that the true mean is below in at most `level` of the cases."""
        if not math.isfinite(self.error):
            return -math.inf
        return self.mean - self.error * self._widened(t_quantile(1 - level, self.freedom))

    def high(self, level: float = 0.05) -> float:
        """The bound that the true mean is above in at most `level` of the cases."""
        return -self.negated.low(level)

    def p_above(self, value: float) -> float:
        """One-sided p-value of "the true mean is not above `value`"; 1 if nothing is known.

        At most `level` exactly if `low(level)` is at least `value`.
        """
        if not math.isfinite(self.error):
            return 1.0
        if self.error == 0:
            return 0.0 if self.mean > value else 1.0
        return 1.0 - t_cdf(self._narrowed((self.mean - value) / self.error), self.freedom)

    @property
    def _against(self) -> float:
        """Skewness to the side of small values, 0 if there is none."""
        return max(0.0, -self.skew)

    def _widened(self, t: float) -> float:
        """The quantile of the skewed mean whose quantile without skewness is `t`."""
        return t + self._against * (2 * min(max(t, 0.0), EXPANDED) ** 2 + 1)

    def _narrowed(self, t: float) -> float:
        """The inverse of `_widened`."""
        if (g := self._against) == 0 or t <= g:
            return t - g
        root = 2 * (t - g) / (1 + math.sqrt(1 + 8 * g * (t - g)))
        return root if root <= EXPANDED else t - g * (2 * EXPANDED**2 + 1)


def estimate(
    differences: Sequence[float],
    variances: Sequence[float],
    units: Sequence[str],
    known: Correlation = CAUTIOUS,
) -> Estimate:
    """The mean difference, each example with its relative variance and its unit.

    `known`: what is believed of the correlation before these differences are looked at. With one
    unit only nothing is sure. Raises ValueError if lengths differ, a variance is not above 0, or
    there are no differences.
    """
    if not differences:
        raise ValueError("no differences")
    if any(v <= 0 for v in variances):
        raise ValueError("a variance is not above 0")
    groups = _groups(differences, variances, units)
    own, n = _own(groups), len(differences)
    believed = known + own
    fit = _fit(groups, believed.ratio)
    error = freedom = math.inf
    skew = 0.0
    if len(groups) > 1:
        square = fit.squares / (n - 1)
        error = math.sqrt(square / fit.precision)
        freedom = 2 / (2 / (n - 1) + fit.slope(n) ** 2 * believed.variance)
        if square > 0:
            independent = square * (1 + believed.ratio) / error**2
            skew = _skewness(differences, variances, fit.mean) / (6 * math.sqrt(independent))
    return Estimate(fit.mean, error, freedom, skew, n, len(groups), believed.rho, own)


def variances_of(tokens: Sequence[int]) -> list[float]:
    """The relative variance of a mean over so many tokens each, 1 on average."""
    raw = [1 + HALF / count for count in tokens]
    middle = math.fsum(raw) / len(raw)
    return [v / middle for v in raw]


@dataclass(frozen=True, slots=True)
class _Group:
    """One unit: the number of its differences, their weights (1 / variance) in all, their mean."""

    count: int
    weight: float
    mean: float
    squares: float
    """Weighted squares around the unit's own mean."""


def _groups(
    differences: Sequence[float], variances: Sequence[float], units: Sequence[str]
) -> list[_Group]:
    gathered: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for difference, variance, unit in zip(differences, variances, units, strict=True):
        gathered[unit].append((difference, 1 / variance))
    return [_group(pairs) for pairs in gathered.values()]


def _group(pairs: Sequence[tuple[float, float]]) -> _Group:
    if len(pairs) == 1:
        return _Group(1, pairs[0][1], pairs[0][0], 0.0)
    weight = math.fsum([w for _, w in pairs])
    middle = math.fsum([d * w for d, w in pairs]) / weight
    return _Group(len(pairs), weight, middle, math.fsum([w * (d - middle) ** 2 for d, w in pairs]))


def _own(groups: Sequence[_Group]) -> Correlation:
    """What the groups' own squares say; nothing with one unit, or few pairs within units.

    The factor (f - 2) / f makes a ratio to a measured variance right on average.
    """
    freedom_within = sum(g.count for g in groups) - len(groups)
    within = math.fsum([g.squares for g in groups])
    total = math.fsum([g.weight for g in groups])
    if len(groups) < 2 or freedom_within < LEAST_WITHIN or within <= total * ROUNDING**2:
        return UNINFORMATIVE
    middle = math.fsum([g.weight * g.mean for g in groups]) / total
    between = math.fsum([g.weight * (g.mean - middle) ** 2 for g in groups])
    freedom = len(groups) - 1
    return Correlation(
        between / within * (freedom_within - 2) - freedom,
        total - math.fsum([g.weight**2 for g in groups]) / total,
        freedom,
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Generalised least squares with a given ratio."""

    mean: float
    squares: float
    """Residuals, weighted by the inverse of their covariance."""
    precisions: tuple[float, ...]
    """q_j of each unit."""

    @property
    def precision(self) -> float:
        return math.fsum(self.precisions)

    def slope(self, n: int) -> float:
        """Of the logarithm of the mean's estimated variance, by the ratio."""
        units = len(self.precisions)
        share = math.fsum([q * q for q in self.precisions]) / self.precision
        return share - self.precision * (units - 1) / units / (n - 1)


def _fit(groups: Sequence[_Group], ratio: float) -> _Fit:
    precisions = tuple(g.weight / (1 + ratio * g.weight) for g in groups)
    mean = math.fsum(q * g.mean for q, g in zip(precisions, groups, strict=True)) / math.fsum(
        precisions
    )
    squares = math.fsum(
        g.squares + q * (g.mean - mean) ** 2 for q, g in zip(precisions, groups, strict=True)
    )
    return _Fit(mean, squares, precisions)


def _skewness(differences: Sequence[float], variances: Sequence[float], middle: float) -> float:
    residuals = [(d - middle) / math.sqrt(v) for d, v in zip(differences, variances, strict=True)]
    square = math.fsum([r * r for r in residuals]) / len(residuals)
    third = math.fsum([r * r * r for r in residuals]) / len(residuals)
    return third / square**1.5 if square > 0 else 0.0
