"""How unequally trained updates did on single texts, for `scripts/bench noise` and `gate`.

What one update did on one set of held-out examples is a list of falls of NLL (nats a token of the
person's) and of how many tokens each is a mean over. Around their mean an example varies by
a + b / tokens: `a` is what examples differ by however long they are, `b` the noise of single
tokens. Both are fitted to squared residuals by least squares, weighted with what they are expected
to be, neither below 0.

Sessions: what a set's sessions have in common is what `gate/mixed_model.py` itself finds in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_learn.gate.mixed_model import UNINFORMATIVE, Correlation, estimate, variances_of

Floats = NDArray[np.float64]
ROUNDS = 30
"""Of reweighting."""
SHORTEST, SPANS = 3, 20
"""Tokens of the shortest span, and how many are taken of an example."""
SCALES = (1.0, 0.25)
"""Shares of an update that are packed and tried."""


@dataclass(frozen=True, slots=True)
class Falls:
    """What one update did on the examples of one set."""

    tokens: tuple[int, ...]
    falls: tuple[float, ...]
    units: tuple[str, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.falls))

    @property
    def deviation(self) -> float:
        """Standard deviation of an example, n - 1."""
        return float(np.std(self.falls, ddof=1))


@dataclass(frozen=True, slots=True)
class VarianceFit:
    """The variance of an example's fall is a + b / tokens, in square nats."""

    a: float
    b: float

    def of(self, tokens: Sequence[int] | NDArray[Any]) -> Floats:
        variances: Floats = self.a + self.b / np.asarray(tokens, dtype=np.float64)
        return variances

    @property
    def half(self) -> float:
        """Tokens at which half of the variance comes from a text's being short."""
        return self.b / self.a if self.a > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Read:
    """One file on one task's held-out examples."""

    temperature: float
    nll: tuple[tuple[float, ...], ...]
    """Of each of the person's tokens, by example."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One update on one task's held-out examples, against the base."""

    task: str
    own: bool
    """Whether it is the task that the update learned."""
    scale: float
    temperatures: tuple[float, float]
    """Of candidate and base."""
    units: tuple[str, ...]
    """The session of each example: the task, of a repository the file."""
    falls: tuple[tuple[float, ...], ...]
    """Of the NLL of each of the person's tokens, by example."""

    @property
    def whole(self) -> Falls:
        """The examples as they are."""
        return Falls(
            tuple(len(one) for one in self.falls),
            tuple(fmean(one) for one in self.falls),
            self.units,
        )

    def spans(self, rng: np.random.Generator) -> Falls:
        """One span of each example, as if the person had changed that alone.

        From `SHORTEST` tokens to all of them, the logarithm uniform.
        """
        chosen = []
        for one in self.falls:
            least = min(SHORTEST, len(one))
            length = int(np.exp(rng.uniform(math.log(least), math.log(len(one) + 1))))
            start = int(rng.integers(0, len(one) - length + 1))
            chosen.append(one[start : start + length])
        return Falls(tuple(map(len, chosen)), tuple(map(fmean, chosen)), self.units)


@dataclass(frozen=True, slots=True)
class UpdateFigures:
    """One update, wherever it was tried."""

    tried: tuple[Tried, ...]
    seconds: float


def fit_variance(sets: Sequence[Falls]) -> VarianceFit:
    """The fit to all sets together, each around its own mean."""
    squares, shares = [], []
    for one in sets:
        n = len(one.falls)
        residuals = np.array(one.falls) - one.mean
        squares.append(residuals**2 * n / (n - 1))
        shares.append(1 / np.array(one.tokens, dtype=np.float64))
    y, x = np.concatenate(squares), np.concatenate(shares)
    a, b = float(y.mean()), 0.0
    for _ in range(ROUNDS):
        weights = 1 / np.maximum(a + b * x, 1e-9) ** 2
        a, b = _line(x, y, weights)
    return VarianceFit(a, b)


def _line(x: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """a, b >= 0 of the line through weighted points."""
    total, mx, my = weights.sum(), np.average(x, weights=weights), np.average(y, weights=weights)
    below = float((weights * (x - mx) ** 2).sum())
    slope = float((weights * (x - mx) * (y - my)).sum()) / below if below > 0 else 0.0
    at_zero = float(my - slope * mx)
    if slope < 0 or not total:
        return float(my), 0.0
    if at_zero < 0:
        return 0.0, float((weights * x * y).sum() / (weights * x * x).sum())
    return at_zero, slope


def standardised(sets: Sequence[Falls], fit: VarianceFit) -> Floats:
    """Residuals of variance 1: of each set around its mean, over what the fit says."""
    parts = [
        (np.array(one.falls) - one.mean) / np.sqrt(np.maximum(fit.of(one.tokens), 1e-12))
        for one in sets
    ]
    values = np.concatenate(parts)
    scaled: Floats = (values - values.mean()) / values.std()
    return scaled


def skewness(values: Floats) -> float:
    centred = values - values.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)


def correlation(sets: Sequence[Falls]) -> Correlation:
    """What sets of several sessions say of the correlation within one, all together."""
    found = UNINFORMATIVE
    for one in sets:
        if len(set(one.units)) > 1:
            found += estimate(one.falls, variances_of(one.tokens), one.units).own
    return found


# --- what comes of it -----------------------------------------------------------------------------


def report(figures: Sequence[UpdateFigures]) -> dict[str, Any]:
    """The noise of updates on what they learned, and on other tasks, by their share."""
    tried = [one for update in figures for one in update.tried]
    kinds = {
        f"{name}_x{scale:g}": [one for one in tried if one.own == own and one.scale == scale]
        for name, own in (("own", True), ("others", False))
        for scale in SCALES
    }
    return {
        "updates": len(figures),
        **{kind: noise_of(sets) for kind, sets in kinds.items() if sets},
        "between_tasks": _rho([_together(update) for update in figures]),
        "seconds": round(sum(update.seconds for update in figures), 1),
    }


def noise_of(sets: Sequence[Tried]) -> dict[str, Any]:
    """What whole texts and spans of these sets vary by."""
    whole, spans = [one.whole for one in sets], spans_of(sets)
    return {
        "sets": len(sets),
        "means": [_number(one.mean) for one in whole],
        "whole": _figures(whole),
        "spans": _figures(spans),
        "sessions": _rho(whole),
    }


def spans_of(sets: Sequence[Tried], seed: int = 0) -> list[Falls]:
    """`SPANS` spans of every example, drawn by the seed."""
    rng = np.random.default_rng(seed)
    return [one.spans(rng) for one in sets for _ in range(SPANS)]


def _figures(sets: Sequence[Falls]) -> dict[str, float | None]:
    fit = fit_variance(sets)
    return {
        "tokens": _number(fmean(n for one in sets for n in one.tokens)),
        "deviation": _number(math.sqrt(fmean(one.deviation**2 for one in sets))),
        "a": _number(fit.a),
        "b": _number(fit.b),
        "half": _number(fit.half) if math.isfinite(fit.half) else None,
        "skewness": _number(skewness(standardised(sets, fit))),
    }


def _together(update: UpdateFigures) -> Falls:
    """All tasks of which a whole update learned nothing, each a session."""
    others = [one for one in update.tried if not one.own and one.scale == 1]
    falls = [one.whole for one in others]
    return Falls(
        tuple(n for one in falls for n in one.tokens),
        tuple(d for one in falls for d in one.falls),
        tuple(one.task for one in others for _ in one.falls),
    )


def _rho(sets: Sequence[Falls]) -> dict[str, float | None]:
    found = correlation(sets)
    known = found.weight > 0
    return {
        "rho": _number(found.excess / (found.weight + found.excess)) if known else None,
        "freedom": _number(found.freedom),
    }


def _number(value: float) -> float:
    return float(f"{value:.4g}")
