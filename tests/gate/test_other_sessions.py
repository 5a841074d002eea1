"""Rule 2 at temperatures of the other sessions, where dev and the gate set are of different kinds.

Logits made for it: true text is drawn from a distribution, and a model knows a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.gate.ledger import NextLook
from qi_learn.gate.likelihood_curve import NO_TOKENS, Curve, CurveSums
from qi_learn.gate.mixed_model import CAUTIOUS, correlation_of
from qi_learn.gate.superiority import Superiority, measure_superiority, superiority_check
from qi_learn.gate.temperature import temperature_of, temperatures_of
from qi_learn.records import SuiteNll

WORDS, EXAMPLES, SESSIONS, DRAWS = 30, 20, 5, 4
LOOK = NextLook(level=0.05, correlation=CAUTIOUS + correlation_of(0.08, 40))
UNITS = tuple(f"s{n % SESSIONS}" for n in range(EXAMPLES))

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Text:
    """What truly comes, and what makes it come."""

    logits: NDArray[np.float64]
    tokens: NDArray[np.int64]

    @classmethod
    def draw(cls, rng: np.random.Generator, tokens: int) -> Text:
        logits = 3 * rng.standard_normal((tokens, WORDS))
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return cls(logits, np.array([rng.choice(WORDS, p=p) for p in share]))


def known(rng: np.random.Generator, text: Text, knowledge: float) -> Rows:
    """The logits of a model that knows so much of a text, and is as sure as if it knew all."""
    wrong = 3 * rng.standard_normal(text.logits.shape)
    logits: NDArray[np.float64] = knowledge * text.logits + np.sqrt(1 - knowledge**2) * wrong
    return logits.astype(np.float32)


def moved(rng: np.random.Generator, logits: Rows) -> Rows:
    """Another model that is no better."""
    return logits + (0.3 * rng.standard_normal(logits.shape)).astype(np.float32)


def curve(logits: Rows, text: Text, factor: float = 1.0) -> Curve:
    sums = CurveSums()
    for row, token in zip(logits * np.float32(factor), text.tokens, strict=True):
        sums.take(row, int(token))
    return sums.curve()


def suite(
    curves: list[Curve], temperatures: list[float], units: tuple[str, ...] = UNITS
) -> SuiteNll:
    nll = tuple(c.at(t) for c, t in zip(curves, temperatures, strict=True))
    tokens = tuple(c.tokens for c in curves)
    ids = tuple(map(str, range(len(curves))))
    return SuiteNll("gate", ids, units, nll, tokens, nll, tokens, nll, tokens)


@dataclass(frozen=True)
class Drawn:
    """Two models on fresh work, on dev, and on ordinary code, where they are alike."""

    live: list[Curve]
    candidate: list[Curve]
    dev: tuple[Curve, Curve]
    ordinary: tuple[Curve, Curve]

    def at_dev(self) -> Superiority:
        """As rule 2 was: each at the temperature that dev has under it."""
        live, candidate = (
            suite(curves, [temperature_of(dev, ordinary)] * EXAMPLES)
            for curves, dev, ordinary in zip(
                (self.live, self.candidate), self.dev, self.ordinary, strict=True
            )
        )
        return judged(candidate, live)

    def at_other_sessions(self) -> Superiority:
        """As rule 2 is."""
        live, candidate = (
            suite(curves, temperatures_of(curves, UNITS, ordinary))
            for curves, ordinary in zip((self.live, self.candidate), self.ordinary, strict=True)
        )
        return judged(candidate, live)


def judged(candidate: SuiteNll, live: SuiteNll) -> Superiority:
    found = measure_superiority(candidate, live, LOOK)
    assert found is not None
    return found


def draw(rng: np.random.Generator, *, dev: tuple[float, float], gate: tuple[float, float]) -> Drawn:
    """`dev` and `gate`: what the live version and the candidate know of each."""

    def pair(tokens: int, knowledge: tuple[float, float]) -> tuple[Curve, Curve]:
        text = Text.draw(rng, tokens)
        before = known(rng, text, knowledge[0])
        alike = knowledge[0] == knowledge[1]
        after = moved(rng, before) if alike else known(rng, text, knowledge[1])
        return curve(before, text), curve(after, text)

    lengths = np.exp(rng.uniform(np.log(3), np.log(41), EXAMPLES)).astype(int)
    pairs = [pair(int(tokens), gate) for tokens in lengths]
    live, candidate = ([p[which] for p in pairs] for which in (0, 1))
    return Drawn(live, candidate, pair(100, dev), pair(60, (0.8, 0.8)))


def shares(seed: int, **knowledge: tuple[float, float]) -> tuple[float, float, float]:
    """How often rule 2 passes at dev's temperature, and at the other sessions'; and its fall."""
    rng = np.random.default_rng(seed)
    draws = [draw(rng, **knowledge) for _ in range(DRAWS)]
    other = [d.at_other_sessions() for d in draws]
    return (
        sum(superiority_check(d.at_dev()).passed for d in draws) / DRAWS,
        sum(superiority_check(found).passed for found in other) / DRAWS,
        sum(found.fall.mean for found in other) / DRAWS,
    )


def test_what_was_learned_of_dev_alone_is_no_gain_on_fresh_work() -> None:
    """Dev was hard, and is learned; fresh work is easy, and nothing of it was learned."""
    dev, others, fall = shares(3, dev=(0.4, 0.8), gate=(0.8, 0.8))
    assert dev > 0.6, "what was wrong: the live version is compared at a temperature too high"
    assert others == 0
    assert fall < 0


def test_what_is_better_passes_whatever_was_learned_of_dev() -> None:
    """Dev is easy by now and fresh work is as hard as before, but for a part that was learned."""
    dev, others, fall = shares(3, dev=(0.4, 0.85), gate=(0.4, 0.6))
    assert dev < 0.5, "what was wrong: the candidate is compared at a temperature too low"
    assert others > 0.8
    assert fall > 0.2


@pytest.mark.parametrize("factor", [1.05, 0.8, 1.05**6])
def test_surer_or_less_sure_of_everything_is_the_same_model(factor: float) -> None:
    rng = np.random.default_rng(5)
    texts = [Text.draw(rng, 12) for _ in range(EXAMPLES)]
    logits = [known(rng, text, 0.7) for text in texts]
    one, other = (
        suite(curves, temperatures_of(curves, UNITS, curves[0]))
        for curves in (
            [curve(rows, text, by) for rows, text in zip(logits, texts, strict=True)]
            for by in (1.0, factor)
        )
    )
    for before, after in zip(one.person_nll, other.person_nll, strict=True):
        assert after == pytest.approx(before, abs=12 * 2e-5)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_less_or_more_sure_of_other_text_alone_is_hardly_a_change(factor: float) -> None:
    """What temperatures are fitted on is what is judged: of other text only a little counts."""
    rng = np.random.default_rng(6)
    texts = [Text.draw(rng, 12) for _ in range(EXAMPLES)]
    ordinary = Text.draw(rng, 60)
    logits, other = [known(rng, text, 0.7) for text in texts], known(rng, ordinary, 0.8)
    curves = [curve(rows, text) for rows, text in zip(logits, texts, strict=True)]
    live, candidate = (
        suite(curves, temperatures_of(curves, UNITS, curve(other, ordinary, by)))
        for by in (1.0, factor)
    )
    assert abs(judged(candidate, live).fall.mean) < 0.01


def test_less_sure_in_a_session_that_is_most_of_the_text_is_no_gain() -> None:
    """The other sessions say little of its temperature: that of ordinary code is too low there."""
    rng = np.random.default_rng(8)
    units = (*["long"] * 16, "a", "b", "c", "d")
    texts = [Text.draw(rng, 60 if unit == "long" else 3) for unit in units]
    logits = [text.logits.astype(np.float32) for text in texts]
    ordinary = Text.draw(rng, 200)
    others = curve(ordinary.logits.astype(np.float32), ordinary)
    measured = []
    for factor in (1.0, 2.0):
        curves = [curve(rows, text, factor) for rows, text in zip(logits, texts, strict=True)]
        one = temperature_of(sum(curves, NO_TOKENS), others)
        at_others = suite(curves, temperatures_of(curves, units, others), units)
        at_one = tuple(each.at(one) for each in curves)
        measured.append((at_others, replace(at_others, person_nll_at_one=at_one)))
    (alone, after), (surer, before) = measured
    assert superiority_check(judged(alone, surer)).passed, "what was wrong"
    found = judged(after, before)
    assert not superiority_check(found).passed
    assert abs(found.fall.mean) < 0.005


def test_an_example_does_not_choose_its_own_temperature() -> None:
    """Fitted on all, a session whose every token is the likeliest would lower its own."""
    rng = np.random.default_rng(7)
    texts = [Text.draw(rng, 20) for _ in range(4)]
    curves = [curve(known(rng, text, 0.7), text) for text in texts]
    units = ("a", "a", "b", "c")
    fitted = temperatures_of(curves, units)
    assert fitted[0] == fitted[1] == temperature_of(curves[2] + curves[3])
    changed = temperatures_of([curves[3], curves[2], *curves[2:]], units)
    assert changed[0] == fitted[0]
    assert changed[2] != fitted[2]
    assert temperatures_of(curves[:1], units[:1], curves[3]) == [temperature_of(curves[3])]
    assert temperatures_of(curves[:1], units[:1]) == [1.0]
