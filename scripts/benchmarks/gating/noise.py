"""How much two equally good models differ on single texts, for `scripts/bench gate`.

On the person's tokens: data/update_noise.json, measured by `scripts/bench noise`. An update that
learned nothing of what it is judged by has the noise of updates of made-up conventions on other
tasks: these were changed by nats, so that is the worst case. An update that helps by about a tenth
of a nat has the noise that updates from real repositories had where they helped as much. How much
an example varies, how that depends on its tokens (a + b / tokens, fitted to spans of 3 tokens up),
and in which shape, are those measured. Elsewhere: data/gate_differences.json (between two packed
models of equal quality, measured by differences.py). Sessions share as much of the variance as two
texts of a module do there. Means are subtracted, so that nothing is truly nothing. Made-up ones
have the shapes that a t interval takes worst.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qi_learn import codec
from qi_learn.bench.streams import REPOSITORIES
from scripts.benchmarks.gating.update_noise import (
    Tried,
    VarianceFit,
    fit_variance,
    spans_of,
    standardised,
)

DATA = Path(__file__).parents[1] / "data" / "gate_differences.json"
UPDATES = DATA.with_name("update_noise.json")
SPREAD = 0.14
"""Standard deviation of an example in nats a token, as was assumed before it was measured; the
other laws are relative to it.
"""
SHARED = 0.08
"""Correlation of two examples of a session: that of two texts of a module, as measured."""
SHORT, LONG = 3, 60
"""The person's tokens in an example: in between their logarithm is uniform."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
TYPICAL = 55
"""Tokens of the texts that `SPREAD` was measured on."""


def _short_noisier(tokens: Counts) -> Floats:
    variances: Floats = 1 + 30 / tokens
    return variances


_LENGTHS = np.exp(np.linspace(math.log(SHORT), math.log(LONG), 200))
HELPING, MEASURED, WHOLE = "helping", "nothing_learned", "nothing_learned_whole"
HELPED = (0.05, 0.15)
"""Mean falls, nats a token, of an update that helps about as much as is asked about."""
Variance = Callable[[Counts], Floats]
ASSUMED: dict[str, Variance] = {
    "alike": lambda tokens: np.ones(len(tokens)),
    "short_noisier": lambda tokens: _short_noisier(tokens) / float(np.mean(1 + 30 / _LENGTHS)),
    "short_noisier_than_typical": lambda tokens: _short_noisier(tokens) / (1 + 30 / TYPICAL),
    "tokens_alone": lambda tokens: TYPICAL / tokens,
}
"""Variance of an example over `SPREAD` squared, by its tokens, in which a typical text has
`SPREAD`: all alike; short ones noisier, all of them together as noisy as texts are, which was
assumed before; noisier than a text of typical length; and the noise of single tokens alone, as was
measured of random changes.
"""
LAWS = (HELPING, MEASURED, WHOLE, *ASSUMED)
"""Three are measured: of spans of 3 tokens up, which any edit may be, of updates that helped (one
of them is drawn, with a noise of its own) and of those that had learned nothing; and of the
latter's whole examples (all edited spans of an answer together, and texts), which is no measure
below some 20 tokens.
"""
Noise = Callable[[np.random.Generator, int], Floats]
SHAPES: dict[str, Noise] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t3": lambda rng, n: rng.standard_t(3, n) / math.sqrt(3),
    "skewed_for": lambda rng, n: rng.exponential(1, n) - 1,
    "skewed_against": lambda rng, n: 1 - rng.exponential(1, n),
    "sparse": lambda rng, n: (rng.random(n) < 0.1) * rng.standard_normal(n) / math.sqrt(0.1),
}
"""Of a fall, with mean 0 and variance 1: against means seldom, but then much worse."""


@dataclass(frozen=True)
class Real:
    """Measured differences, of modules and of single texts, each of mean 0 and variance 1."""

    modules: Floats
    texts: Floats
    spread: float
    """Standard deviation of a text's difference as it was measured, in nats a token."""

    @classmethod
    def read(cls, path: Path = DATA) -> Real:
        data = json.loads(path.read_text(encoding="utf-8"))
        names, tokens = np.array(data["modules"]), np.array(data["tokens"], dtype=float)
        rates = np.array(data["pairs"][0]) / tokens
        means = np.array([rates[names == name].mean() for name in dict.fromkeys(data["modules"])])
        return cls(_standard(means), _standard(rates), float(rates.std()))

    def draw(self, rng: np.random.Generator, sizes: Sequence[int], rho: float = SHARED) -> Floats:
        """Differences of variance 1, one for each example of sessions of so many.

        Sessions share `rho` of the variance. Chance decides which of the two models is the
        candidate.
        """
        own = rng.choice((-1.0, 1.0)) * rng.choice(self.texts, sum(sizes))
        falls: Floats = math.sqrt(rho) * self.sessions(rng, sizes) + math.sqrt(1 - rho) * own
        return falls

    def sessions(self, rng: np.random.Generator, sizes: Sequence[int]) -> Floats:
        """What sessions have in common, of variance 1, for each example."""
        signed = rng.choice((-1.0, 1.0)) * rng.choice(self.modules, len(sizes))
        shared: Floats = np.repeat(signed, sizes)
        return shared


@dataclass(frozen=True)
class Trained:
    """What trained updates did on the person's tokens, their means aside."""

    fit: VarianceFit
    """Of spans, by their tokens."""
    shape: Floats
    """Their residuals, each of variance 1."""
    whole: VarianceFit
    """Of whole examples, edits of answers and texts: of 19 tokens up."""

    @classmethod
    def of(cls, sets: Sequence[Tried]) -> Trained:
        """What some sets say together."""
        spans = spans_of(sets)
        fit = fit_variance(spans)
        return cls(fit, standardised(spans, fit), fit_variance([one.whole for one in sets]))


@cache
def nothing_learned(path: Path = UPDATES) -> Trained:
    """Whole updates of made-up conventions on other tasks. Read once a process."""
    others = [one for one in _sets(path) if not one.own and one.scale == 1]
    return Trained.of([one for one in others if not _is_real(one)])


@cache
def helping(path: Path = UPDATES) -> tuple[Trained, ...]:
    """Updates from real repositories, where they helped by `HELPED`. Read once a process."""
    low, high = HELPED
    helped = [one for one in _sets(path) if low <= one.whole.mean <= high]
    return tuple(Trained.of([one]) for one in helped if _is_real(one))


def _sets(path: Path) -> list[Tried]:
    return [codec.build(Tried, one) for one in json.loads(path.read_text(encoding="utf-8"))["sets"]]


def _is_real(tried: Tried) -> bool:
    return tried.task.startswith(f"{REPOSITORIES} ")


def _standard(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def made_up(rng: np.random.Generator, shape: str, sizes: Sequence[int], rho: float) -> Floats:
    """Differences of variance 1 of which sessions share `rho`, both parts of one shape."""
    noise = SHAPES[shape]
    shared = np.repeat(noise(rng, len(sizes)), sizes)
    falls: Floats = math.sqrt(rho) * shared + math.sqrt(1 - rho) * noise(rng, sum(sizes))
    return falls


def person_tokens(
    rng: np.random.Generator, n: int, lengths: tuple[int, int] = (SHORT, LONG)
) -> Counts:
    """How many tokens of each example the person wrote."""
    low, high = lengths
    return np.exp(rng.uniform(math.log(low), math.log(high + 1), n)).astype(np.int64)


def person_falls(
    rng: np.random.Generator, real: Real, law: str, sizes: Sequence[int], tokens: Counts, rho: float
) -> Floats:
    """Falls with mean 0 on the person's tokens, in units of `SPREAD`.

    What sessions have in common is `rho` of the variance of a text of typical length, of which it
    was measured: a text that is short is noisier by itself, its session is not.
    """
    variance, shape = _law(rng, real, law)
    own = rng.choice(shape, len(tokens))
    typical = float(variance(np.array([TYPICAL]))[0])
    shared = math.sqrt(rho * typical) * real.sessions(rng, sizes)
    falls: Floats = shared + np.sqrt((1 - rho) * variance(tokens)) * own
    return falls


def _law(rng: np.random.Generator, real: Real, law: str) -> tuple[Variance, Floats]:
    """How much an example varies by its tokens, over `SPREAD` squared, and in which shape."""
    if law in ASSUMED:
        return ASSUMED[law], real.texts
    measured = nothing_learned()
    if law == HELPING:
        measured = helping()[rng.integers(len(helping()))]
    fit = measured.whole if law == WHOLE else measured.fit
    return lambda tokens: fit.of(tokens) / SPREAD**2, measured.shape


def split_up(rng: np.random.Generator, n: int, sessions: int) -> list[int]:
    """n examples over so many sessions at random, each with at least one."""
    extra = rng.multinomial(n - sessions, rng.dirichlet(np.full(sessions, 2.0)))
    return [int(count) + 1 for count in extra]
