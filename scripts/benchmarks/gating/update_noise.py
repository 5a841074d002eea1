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

from qi_learn.gate.mixed_model import NOTHING_SEEN, Correlation, estimate, variances_of

Floats = NDArray[np.float64]
ROUNDS = 30
"""Of reweighting."""
GATE_LIKE = (0.0, 0.3)
"""Nats a token."""
SCALES = (1.0, 0.5, 0.25)
"""Shares of an update that are packed and tried on its own task."""


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

    def of(self, tokens: Sequence[int] | Floats) -> Floats:
        variances: Floats = self.a + self.b / np.asarray(tokens, dtype=np.float64)
        return variances

    @property
    def half(self) -> float:
        """Tokens at which half of the variance comes from a text's being short."""
        return self.b / self.a if self.a > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Tried:
    """One file on one task's held-out examples, against the base."""

    task: str
    own: bool
    """Whether it is the task that the update learned."""
    scale: float
    temperatures: tuple[float, float]
    """Of candidate and base."""
    units: tuple[str, ...]
    """The session of each example: the task, of a repository the file."""
    tokens: tuple[int, ...]
    """The person's."""
    falls: tuple[float, ...]
    """Of NLL, nats a token of the person's."""

    @property
    def taken(self) -> Falls:
        return Falls(self.tokens, self.falls, self.units)

    @property
    def gate_like(self) -> bool:
        """Whether the fall is of a size that the gate's power is asked for."""
        low, high = GATE_LIKE
        return low <= self.taken.mean <= high


@dataclass(frozen=True, slots=True)
class UpdateFigures:
    """One update, wherever it was tried."""

    tried: tuple[Tried, ...]
    steps: int
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
    found = NOTHING_SEEN
    for one in sets:
        if len(set(one.units)) > 1:
            found += estimate(one.falls, variances_of(one.tokens), one.units).own
    return found


# --- what comes of it -----------------------------------------------------------------------------


def report(figures: Sequence[UpdateFigures]) -> dict[str, Any]:
    """The noise of updates where they help, by their share, and where they learned nothing."""
    tried = [one for update in figures for one in update.tried]
    apart: dict[str, list[Falls]] = {"nothing": [one.taken for one in tried if not one.own]}
    for scale in SCALES:
        apart[f"helps_x{scale:g}"] = [t.taken for t in tried if t.own and t.scale == scale]
    return {
        "updates": len(figures),
        "noise": {name: _noise(sets) for name, sets in apart.items() if sets},
        "gate_like": _noise([one.taken for one in tried if one.gate_like]),
        "between_tasks": _rho(correlation([_together(update) for update in figures])),
        "seconds": round(sum(update.seconds for update in figures), 1),
    }


def _noise(sets: Sequence[Falls]) -> dict[str, Any]:
    if not sets:
        return {"sets": 0}
    fit = fit_variance(sets)
    return {
        "sets": len(sets),
        "examples": sum(len(one.falls) for one in sets),
        "mean": _number(fmean(one.mean for one in sets)),
        "deviation": _number(math.sqrt(fmean(one.deviation**2 for one in sets))),
        "tokens": _number(fmean(n for one in sets for n in one.tokens)),
        "a": _number(fit.a),
        "b": _number(fit.b),
        "half": _number(fit.half) if math.isfinite(fit.half) else None,
        "skewness": _number(skewness(standardised(sets, fit))),
        "within_sets": _rho(correlation(sets)),
    }


def _together(update: UpdateFigures) -> Falls:
    """All tasks of which an update learned nothing, each a session."""
    others = [one for one in update.tried if not one.own]
    return Falls(
        tuple(n for one in others for n in one.tokens),
        tuple(d for one in others for d in one.falls),
        tuple(one.task for one in others for _ in one.falls),
    )


def _rho(found: Correlation) -> dict[str, float | None]:
    known = found.weight > 0
    return {
        "rho": _number(found.excess / (found.weight + found.excess)) if known else None,
        "freedom": _number(found.freedom),
    }


def _number(value: float) -> float:
    return float(f"{value:.4g}")
