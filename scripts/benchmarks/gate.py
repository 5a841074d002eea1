"""How often the gate errs: null updates that ship, and useful ones that do not.

Updates of known worth go through the real `give_verdict`, from the smallest gate set to a large
one:

    null       equal on fresh work and everything else, answers included: what a training that
               learned nothing gives
    favoured   equal on fresh work, better at everything else: the null update that the other rules
               let pass, so the error of the first rule alone
    harmful    0.2 nat better on fresh work, and worse by exactly 0.10 nat, the limit, on code in
               general

Differences come from data/gate_differences.json (real ones, between two packed models of equal
quality, measured by differences.py): whole modules are drawn as sessions, texts within them, and
the remaining mean is subtracted, so that the null is true. `--methods` also measures other
intervals, on real and on made-up differences. Progress goes to stderr; the last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from qi_learn.gate.measurements import CandidateFindings, Comparison, Measurements
from qi_learn.gate.verdict import give_verdict
from qi_learn.records import Behaviour, Smoke, SuiteNll, TensorGain, Verdict
from qi_learn.stats import t_quantile

DATA = Path(__file__).parent / "data" / "gate_differences.json"
SIZES = (25, 50, 100, 200)
SESSIONS = (1, 2, 3, 4, 6, 8, 12, 25, 50)
EFFECTS = (0.01, 0.02, 0.05, 0.1, 0.2)
FAMILIES = ("real", "normal", "t3", "skewed_for", "skewed_against", "sparse")
SPREAD, SHARED = 0.14, 0.3
"""Standard deviation of an example in nats a token, as trained updates have it (the
demonstration's), and the share of its variance that a session shares in made-up differences.
"""
RESAMPLES = 999

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Sequence[int]], tuple[list[Floats], list[Floats]]]
"""Session sizes to (nats a token, tokens) of each session's examples, all with a true mean of 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the gate's type-I error and power.")
    parser.add_argument(
        "--updates", type=int, default=1000, help="of each kind for every size of the gate set"
    )
    parser.add_argument(
        "--power-updates", type=int, default=200, help="updates for every size and effect"
    )
    parser.add_argument(
        "--methods", action="store_true", help="compare with other intervals too (minutes)"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    rng, real = np.random.default_rng(given.seed), Real.read(DATA)
    null = {
        kind: {n: promoted(rng, real, kind, n, given.updates) for n in SIZES}
        for kind in ("null", "favoured", "harmful")
    }
    power = {
        n: {effect: ships(rng, real, n, effect, given.power_updates) for effect in EFFECTS}
        for n in SIZES
    }
    methods = compare_methods(rng, real) if given.methods else {}
    shares = {
        kind: {n: share(several(ships)) for n, ships in by_n.items()} for kind, by_n in null.items()
    }
    result = {
        "type1": max(shares["null"].values()),
        "type1_by_n": shares["null"],
        "type1_first_rule": max(shares["favoured"].values()),
        "type1_first_rule_by_n": shares["favoured"],
        "type1_first_rule_by_sessions": by_sessions(null["favoured"]),
        "harmful_promoted": max(shares["harmful"].values()),
        "power": power,
        "updates": given.updates,
        **({"methods": methods} if methods else {}),
        "processor_seconds": round(time.process_time(), 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))


# --- differences ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    """Measured differences, by pair of models and module: (nats a token, tokens) of each text."""

    pairs: list[list[tuple[Floats, Floats]]]
    centres: dict[tuple[int, int], float]
    """Mean over modules of what a session of so many texts has, by pair and number of texts.

    It is subtracted, so that the true mean is 0.
    """

    @classmethod
    def read(cls, path: Path) -> Real:
        data = json.loads(path.read_text(encoding="utf-8"))
        modules, tokens = np.array(data["modules"]), np.array(data["tokens"], dtype=float)
        rates = [np.array(pair) / tokens for pair in data["pairs"]]
        names = list(dict.fromkeys(data["modules"]))
        return cls(
            [
                [(rate[modules == name], tokens[modules == name]) for name in names]
                for rate in rates
            ],
            {},
        )

    @property
    def widening(self) -> float:
        """Factor that makes the differences as wide as those of trained updates.

        The measured ones are of small changes.
        """
        return SPREAD / float(
            np.concatenate([rate for pair in self.pairs for rate, _ in pair]).std()
        )

    def centre(self, pair: int, size: int) -> float:
        """Mean of a session of `size` texts, by drawing: a ratio of sums has no short formula."""
        if (pair, size) not in self.centres:
            rng, means = np.random.default_rng(size), []
            for rate, tokens in self.pairs[pair]:
                picked = rng.integers(0, len(rate), (400, size))
                means.append(
                    ((rate[picked] * tokens[picked]).sum(1) / tokens[picked].sum(1)).mean()
                )
            self.centres[pair, size] = float(np.mean(means))
        return self.centres[pair, size]

    def draw(
        self, rng: np.random.Generator, sizes: Sequence[int]
    ) -> tuple[list[Floats], list[Floats]]:
        """Differences of one pair of models; chance decides which of the two is the candidate.

        Each session is a module, with the module's own texts drawn.
        """
        pair, sign = int(rng.integers(len(self.pairs))), rng.choice((-1.0, 1.0))
        rates, tokens = [], []
        for size in sizes:
            rate, length = self.pairs[pair][rng.integers(len(self.pairs[pair]))]
            picked = rng.integers(0, len(rate), size)
            rates.append(sign * (rate[picked] - self.centre(pair, size)))
            tokens.append(length[picked])
        return rates, tokens

    def drawing(self, family: str) -> Draw:
        """Real differences, or made-up ones of a family with the real lengths of texts."""
        if family == "real":
            return self.draw
        lengths = np.concatenate([tokens for _, tokens in self.pairs[0]])
        noise = NOISE[family]

        def draw(
            rng: np.random.Generator, sizes: Sequence[int]
        ) -> tuple[list[Floats], list[Floats]]:
            tokens = [rng.choice(lengths, size) for size in sizes]
            shared = SPREAD * math.sqrt(SHARED) * noise(rng, len(sizes))
            own = [
                SPREAD * math.sqrt(1 - SHARED) * noise(rng, len(t)) * np.sqrt(lengths.mean() / t)
                for t in tokens
            ]
            return [o + s for o, s in zip(own, shared, strict=True)], tokens

        return draw


NOISE: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t3": lambda rng, n: rng.standard_t(3, n) / math.sqrt(3),
    "skewed_for": lambda rng, n: (
        1 - rng.exponential(1, n)
    ),  # NLL: mostly a little worse, sometimes much better
    "skewed_against": lambda rng, n: (
        rng.exponential(1, n) - 1
    ),  # mostly a little better, sometimes much worse: the dangerous one
    "sparse": lambda rng, n: (rng.random(n) < 0.1) * rng.standard_normal(n) / math.sqrt(0.1),
}
"""Mean 0, variance 1."""


def split_up(rng: np.random.Generator, n: int, sessions: int) -> list[int]:
    """n examples over so many sessions at random, each with at least one."""
    return [
        int(c) + 1 for c in rng.multinomial(n - sessions, rng.dirichlet(np.full(sessions, 2.0)))
    ]


# --- through the gate -----------------------------------------------------------------------------


def promoted(
    rng: np.random.Generator, real: Real, kind: str, n: int, updates: int
) -> dict[int, list[bool]]:
    """Whether each update of a kind ships, by number of sessions in the gate set.

    `updates` of them have several sessions; a share of gate sets with one session comes on top.
    """
    counts = [s for s in SESSIONS if 1 < s <= n]
    drawn = [counts[update % len(counts)] for update in range(updates)] + [1] * max(
        1, updates // len(counts)
    )
    shipped: dict[int, list[bool]] = {s: [] for s in (1, *counts)}
    for sessions in drawn:
        shipped[sessions].append(pushed(rng, real, n, sessions, kind).ships)
    counted = several(shipped)
    say(f"{kind}, n = {n}: {share(counted):.2%} of {sum(map(len, counted))} promoted")
    return shipped


def several(shipped: dict[int, list[bool]]) -> list[list[bool]]:
    """All but the gate sets of one session, which never ship: they would make the error smaller."""
    return [ships for sessions, ships in shipped.items() if sessions > 1]


def ships(rng: np.random.Generator, real: Real, n: int, effect: float, updates: int) -> float:
    """Share that ships of the updates that are better by `effect` nat a token on fresh work.

    They are no worse elsewhere, and their sessions have 6 examples on average. Differences on fresh
    work are widened: how often an update is seen to help depends on them, how often a null update
    passes does not.
    """
    shipped = share(
        [
            [
                pushed(rng, real, n, n // 6, "favoured", effect, real.widening).ships
                for _ in range(updates)
            ]
        ]
    )
    say(f"better by {effect} nat, n = {n}: {shipped:.1%} ship")
    return shipped


def pushed(
    rng: np.random.Generator,
    real: Real,
    n: int,
    sessions: int,
    kind: str,
    effect: float = 0.0,
    widening: float = 1.0,
) -> Verdict:
    """One update through the real gate."""
    fresh, elsewhere = (
        (-0.2, 0.1) if kind == "harmful" else (-effect, -0.1 if kind == "favoured" else 0.0)
    )
    gate = suite_pair(rng, real.draw, "gate", split_up(rng, n, sessions), fresh, widening)
    old = suite_pair(rng, real.draw, "old", split_up(rng, 100, 20), min(elsewhere, 0.0))
    general = suite_pair(rng, real.draw, "general", [4] * 16, elsewhere)
    behaviour = answers(rng, n, better=kind != "null")
    candidate, live = (
        Measurements(gate[side], old[side], general[side], behaviour[side]) for side in (0, 1)
    )
    return give_verdict(
        Comparison(candidate, live, live),
        CandidateFindings(SOUND, KEPT_ALL, leaks=(), scale=1.0),
        compared_with="1.0.0",
        rollback_to="1.0.0",
    )


SOUND = Smoke(answers=True, stops=True, same_template=True, same_stops=True)
KEPT_ALL = (TensorGain("blk.0.attn_q.weight", "Q4_1", "Q8_0", 1.0, 1.0, 1),)


def suite_pair(
    rng: np.random.Generator,
    draw: Draw,
    name: str,
    sizes: Sequence[int],
    effect: float,
    widening: float = 1.0,
) -> tuple[SuiteNll, SuiteNll]:
    """Candidate and live version on one suite.

    The candidate's NLL is higher by `effect` nat a token, and by the drawn differences of single
    texts.
    """
    rates, tokens = draw(rng, sizes)
    units = tuple(f"{name}-{s}" for s, size in enumerate(sizes) for _ in range(size))
    ids = tuple(f"{name}{i}" for i in range(len(units)))
    length = np.concatenate(tokens)
    before = 1.5 * length
    after = before + (widening * np.concatenate(rates) + effect) * length
    counts = tuple(int(t) for t in length)
    one, two = (
        SuiteNll(name, ids, units, tuple(map(float, nll)), counts, tuple(map(float, nll)), counts)
        for nll in (after, before)
    )
    return one, two


def answers(rng: np.random.Generator, n: int, *, better: bool) -> tuple[Behaviour, Behaviour]:
    """Answers of candidate and live version.

    They are alike in two of three cases, else drawn anew; from better ones if `better`.
    """
    ids = tuple(f"gate{i}" for i in range(min(n, 100)))
    before, anew = rng.beta(2, 3, len(ids)), rng.beta(2, 3, len(ids))
    stays = rng.random(len(ids)) < 2 / 3
    after = np.where(stays, before, np.maximum(before, anew) if better else anew)
    sound, again = rng.random(len(ids)) < 0.7, rng.random(len(ids)) < 0.7
    sound_after = np.where(stays, sound, sound | again if better else again)
    one, two = (
        Behaviour(ids, tuple(map(float, s)), tuple(map(bool, c)), ("",) * len(ids), 50.0)
        for s, c in ((after, sound_after), (before, sound))
    )
    return one, two


def share(parts: Sequence[Sequence[bool]]) -> float:
    flat = [ships for part in parts for ships in part]
    return round(sum(flat) / len(flat), 4)


def by_sessions(by_n: dict[int, dict[int, list[bool]]]) -> dict[int, float]:
    counts = sorted({s for by in by_n.values() for s in by})
    return {s: share([by[s] for by in by_n.values() if s in by]) for s in counts}


# --- other intervals ------------------------------------------------------------------------------


def compare_methods(
    rng: np.random.Generator, real: Real, updates: int = 1000
) -> dict[str, dict[str, float]]:
    """Type-I error of each lower bound of a fall, by family, gate set size and session count."""
    errors: dict[str, dict[str, float]] = {}
    for family in FAMILIES:
        draw = real.drawing(family)
        for n, sessions in (
            (25, 1),
            (25, 3),
            (25, 5),
            (25, 8),
            (25, 25),
            (50, 10),
            (100, 20),
            (200, 50),
        ):
            falls, means = [], []
            for _ in range(updates):
                rates, tokens = draw(rng, split_up(rng, n, sessions))
                falls.append(-np.concatenate(rates))
                means.append([-(r * t).sum() / t.sum() for r, t in zip(rates, tokens, strict=True)])
            row = {"t_examples": wrong(t_bound(np.array(falls)))}
            if sessions > 1:
                row |= {name: wrong(bound(np.array(means))) for name, bound in METHODS.items()}
            errors[f"{family} n={n} sessions={sessions}"] = row
            say(
                f"{family:15} n={n:3} sessions={sessions:2} "
                + "  ".join(f"{name} {error:.1%}" for name, error in row.items())
            )
    return errors


def wrong(low: Floats) -> float:
    return round(float((low > 0).mean()), 4)


def t_bound(x: Floats) -> Floats:
    """Lower 95 % bounds of the means of rows (updates, units)."""
    n = x.shape[1]
    low: Floats = x.mean(1) - t_quantile(0.95, n - 1) * x.std(1, ddof=1) / math.sqrt(n)
    return low


def johnson_bound(x: Floats) -> Floats:
    """Student's t corrected for skewness (Johnson 1978)."""
    n, spread = x.shape[1], x.std(1, ddof=1)
    third = ((x - x.mean(1, keepdims=True)) ** 3).mean(1)
    with np.errstate(all="ignore"):
        shift = third / (6 * spread**2 * n) + third * x.mean(1) ** 2 / (3 * spread**4)
    low: Floats = x.mean(1) + np.nan_to_num(shift) - t_quantile(0.95, n - 1) * spread / math.sqrt(n)
    return low


def _resampled(row: Floats) -> tuple[Floats, Floats]:
    """Means and standard errors of resamples of whole sessions."""
    n = len(row)
    drawn = row[np.random.default_rng(0).integers(0, n, (RESAMPLES, n))]
    return drawn.mean(1), drawn.std(1, ddof=1) / math.sqrt(n)


def percentile_bound(x: Floats) -> Floats:
    return np.array([np.quantile(_resampled(row)[0], 0.05) for row in x])


def bca_bound(x: Floats) -> Floats:
    """Bias-corrected and accelerated bootstrap (Efron 1987)."""
    normal, bounds = NormalDist(), []
    for row in x:
        means, _ = _resampled(row)
        rank = min(max(float((means < row.mean()).mean()), 1 / RESAMPLES), 1 - 1 / RESAMPLES)
        centred = row - row.mean()
        speed = float((centred**3).sum() / (6 * (centred**2).sum() ** 1.5 + 1e-300))
        bias = normal.inv_cdf(rank)
        z = bias + normal.inv_cdf(0.05)
        bounds.append(np.quantile(means, normal.cdf(bias + z / (1 - speed * z))))
    return np.array(bounds)


def bootstrap_t_bound(x: Floats) -> Floats:
    """The bootstrap's own distribution of t in place of Student's."""
    bounds = []
    for row in x:
        means, errors = _resampled(row)
        with np.errstate(all="ignore"):
            t = np.where(
                errors > 0, (means - row.mean()) / errors, np.sign(means - row.mean()) * 1e9
            )
        bounds.append(row.mean() - np.quantile(t, 0.95) * row.std(ddof=1) / math.sqrt(len(row)))
    return np.array(bounds)


def wild_bound(x: Floats) -> Floats:
    """Wild cluster bootstrap: the signs of whole sessions drawn anew.

    Positive if the null is refused, so only its sign is a bound's.
    """
    n, rng = x.shape[1], np.random.default_rng(0)
    signs = rng.choice((-1.0, 1.0), (RESAMPLES, n))
    bounds = []
    for row in x:
        t = _t(signs * row)
        bounds.append(0.05 - (1 + (t >= _t(row[None, :]) - 1e-12).sum()) / (RESAMPLES + 1) + 1e-9)
    return np.array(bounds)


def _t(rows: Floats) -> Floats:
    result: Floats = rows.mean(1) / (rows.std(1, ddof=1) / math.sqrt(rows.shape[1]) + 1e-300)
    return result


METHODS: dict[str, Callable[[Floats], Floats]] = {
    "t_sessions": t_bound,
    "t_skewness": johnson_bound,
    "percentile": percentile_bound,
    "bca": bca_bound,
    "bootstrap_t": bootstrap_t_bound,
    "wild": wild_bound,
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
