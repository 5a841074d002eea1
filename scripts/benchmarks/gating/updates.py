"""Updates of known worth, as the records that the gate judges, for `scripts/bench gate`.

An update is better by so much on the person's tokens, worse by so much elsewhere, and its answers
change as they do in a model that was trained: a third is written anew. An example of the person's
tokens differs as trained updates did (`gating/noise.py`), general text by 0.041 nat a token, as was
measured of both. What is assumed: the person's tokens are 3 to 60 an example; earlier work differs
by 0.07; a useful update has the same gain everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qi_learn.gate.ledger import NextLook
from qi_learn.gate.measurements import CandidateFindings, Comparison, Measurements
from qi_learn.gate.verdict import give_verdict
from qi_learn.records import Behaviour, Leak, Smoke, SuiteNll, TensorGain, Verdict
from scripts.benchmarks.gating.noise import (
    LONG,
    MEASURED,
    SHARED,
    SHORT,
    SPREAD,
    Counts,
    Floats,
    Real,
    person_falls,
    person_tokens,
    split_up,
)

SUITES = (
    *("python_stdlib", "python", "javascript", "go", "sql", "shell", "prose"),
    *("chat", "fim", "tool_call", "completion", "spill_over_header", "spill_over_plain"),
)
TEXTS, TEXT_TOKENS = 20, 96
"""Of each general suite: texts, and tokens of one."""
OLD_SESSIONS, OLD_SIZE, OLD_SPREAD = 20, 5, 0.07
ANEW = 1 / 3
"""Share of the answers that an update writes otherwise, as well or as badly as before."""
COHERENT = 0.7
OWN_ANSWERS, ASIDE_ANSWERS = 13, 12
"""Answers of each model that a gate's shares pay for at 75 tokens each (decision 0065)."""
SOUND = Smoke(answers=True, stops=True, same_template=True, same_stops=True)
KEPT_ALL = (TensorGain("blk.0.attn_q.weight", "Q4_1", "Q8_0", 1.0, 1.0, 1),)


@dataclass(frozen=True)
class Update:
    """What an update truly does; by default it does nothing and differs as a trained one does."""

    person: float = 0.0
    """Fall on the person's tokens, nats a token."""
    spread: float = SPREAD
    """Standard deviation of an example around it."""
    law: str = MEASURED
    """How that depends on its number of tokens: one of `noise.LAWS`."""
    all_tokens: float = 0.0
    """Fall on all target tokens, as of a model that is only surer of itself."""
    old: float = 0.0
    """Rise on earlier work, since the best that any version had."""
    learned: float = 0.1
    """By how much the best was better on it than the base."""
    general: Mapping[str, float] = field(default_factory=dict)
    """Rise on general suites, by name."""
    text_spread: float | None = None
    """Standard deviation of a general text around that; None: as measured between equal models."""
    breaks: float = 0.0
    """Share of the answers that lose the form that was asked for."""
    anew: float = ANEW
    leaks: tuple[Leak, ...] = ()


@dataclass(frozen=True)
class Held:
    """What is held out to judge by: examples with tokens of the person, and turns kept as is."""

    name: str
    sizes: tuple[int, ...]
    """Of the sessions."""
    tokens: tuple[int, ...]
    """The person's, of each example."""
    kept: tuple[str, ...] = ()
    """The sessions of the turns that were kept as they were."""
    rho: float = SHARED
    """Correlation of two examples of a session."""

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        examples: int = 25,
        sessions: int = 3,
        *,
        kept: float = 0.0,
        rho: float = SHARED,
        name: str = "fresh",
        lengths: tuple[int, int] = (SHORT, LONG),
    ) -> Held:
        """So many examples over so many sessions, and `kept` of all turns kept as they were."""
        count = round(examples * kept / (1 - kept))
        units = tuple(f"{name}-s{n}" for n in rng.integers(0, sessions, count))
        sizes = split_up(rng, examples, sessions)
        tokens = person_tokens(rng, examples, lengths)
        return cls(name, tuple(sizes), _ints(tokens), units, rho)

    @property
    def units(self) -> list[str]:
        """The session of each turn."""
        own = [f"{self.name}-s{j}" for j, size in enumerate(self.sizes) for _ in range(size)]
        return [*own, *self.kept]

    @property
    def ids(self) -> list[str]:
        """Of each turn."""
        return [f"{self.name}-{n}" for n in range(len(self.tokens) + len(self.kept))]


def judge(
    rng: np.random.Generator,
    real: Real,
    update: Update,
    held: Held,
    look: NextLook,
    *,
    live: str = "1",
) -> Verdict:
    """The verdict on one update against version `live`, by the real gate."""
    gate = _gate(rng, real, update, held)
    answers = _answers(rng, update, gate[0])
    general = {name: _texts(rng, real, update, name) for name in SUITES}
    old = _old(rng, real, update)
    candidate, before = (
        Measurements(
            gate[side],
            old[side],
            {name: pair[side] for name, pair in general.items()},
            answers[side],
        )
        for side in (0, 1)
    )
    base = replace(before, old=_shifted(before.old, update.learned))
    return give_verdict(
        Comparison(candidate, before, base),
        CandidateFindings(SOUND, KEPT_ALL, update.leaks, scale=1.0),
        compared_with=live,
        rollback_to=live,
        look=look,
    )


# --- fresh work -----------------------------------------------------------------------------------


def _gate(
    rng: np.random.Generator, real: Real, update: Update, held: Held
) -> tuple[SuiteNll, SuiteNll]:
    """Candidate and live version on fresh work, turns that were kept as they were at the end."""
    tokens = np.array(held.tokens)
    unevenly = person_falls(rng, real, update.law, held.sizes, tokens, held.rho)
    falls = update.person + update.spread * unevenly
    counts = np.concatenate([tokens, np.zeros(len(held.kept), dtype=np.int64)])
    person = np.concatenate([falls * tokens, np.zeros(len(held.kept))])
    whole = counts + rng.integers(20, 120, len(counts))
    live = _suite("gate", held.ids, held.units, 1.5 * whole.astype(np.float64), whole)
    live = replace(live, person_nll=_floats(2.0 * counts), person_tokens=_ints(counts))
    after = replace(
        live,
        nll=_floats(np.array(live.nll) - update.all_tokens * whole - person),
        person_nll=_floats(np.array(live.person_nll) - person),
    )
    return after, live


def _answers(
    rng: np.random.Generator, update: Update, gate: SuiteNll
) -> tuple[Behaviour, Behaviour]:
    """Answers of candidate and live version, as many as a gate has the tokens for.

    First those to turns that the person changed; then to questions aside, which show form alone. Of
    a turn that was kept as it was the kept text is the live version's own answer.
    """
    asked = sorted(range(len(gate.ids)), key=lambda n: gate.person_tokens[n] == 0)[:OWN_ANSWERS]
    changed = np.array([gate.person_tokens[n] > 0 for n in asked] + [False] * ASIDE_ANSWERS)
    n = len(changed)
    anew = rng.random(n) < update.anew
    before = np.where(changed, rng.beta(2, 3, n), 1.0)
    after = np.where(anew, np.where(changed, rng.beta(2, 3, n), rng.beta(4, 2, n)), before)
    sound = rng.random(n) < COHERENT
    still = np.where(anew, rng.random(n) < COHERENT, sound) & (rng.random(n) >= update.breaks)
    aside = [f"aside{place}" for place in range(ASIDE_ANSWERS)]
    ids, texts = (*(gate.ids[place] for place in asked), *aside), ("",) * n
    return (
        Behaviour(ids, _floats(after), tuple(map(bool, still)), texts, 50.0),
        Behaviour(ids, _floats(before), tuple(map(bool, sound)), texts, 50.0),
    )


# --- everything else ------------------------------------------------------------------------------


def _old(rng: np.random.Generator, real: Real, update: Update) -> tuple[SuiteNll, SuiteNll]:
    sizes = [OLD_SIZE] * OLD_SESSIONS
    rises = update.old + real.draw(rng, sizes) * OLD_SPREAD
    return _pair("old", [f"o{j}" for j, size in enumerate(sizes) for _ in range(size)], rises)


def _shifted(suite: SuiteNll, by: float) -> SuiteNll:
    tokens = np.array(suite.tokens)
    return replace(suite, nll=_floats(np.array(suite.nll) + by * tokens))


def _texts(
    rng: np.random.Generator, real: Real, update: Update, name: str
) -> tuple[SuiteNll, SuiteNll]:
    spread = real.spread if update.text_spread is None else update.text_spread
    rises = update.general.get(name, 0.0) + real.draw(rng, [1] * TEXTS) * spread
    return _pair(name, [f"{name}{n}" for n in range(TEXTS)], rises)


def _pair(name: str, units: list[str], rises: Floats) -> tuple[SuiteNll, SuiteNll]:
    tokens = np.full(len(units), TEXT_TOKENS)
    ids = [f"{name}{n}" for n in range(len(units))]
    before = _suite(name, ids, units, 1.5 * tokens, tokens)
    return replace(before, nll=_floats((1.5 + rises) * tokens)), before


def _suite(
    name: str, ids: Sequence[str], units: Sequence[str], nll: Floats, tokens: Counts
) -> SuiteNll:
    counts, nlls = _ints(tokens), _floats(nll)
    return SuiteNll(name, tuple(ids), tuple(units), nlls, counts, nlls, counts)


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def _ints(values: Counts) -> tuple[int, ...]:
    return tuple(values.tolist())
