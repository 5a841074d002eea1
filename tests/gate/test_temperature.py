"""The temperature that a model is compared at, on logits made for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.gate.likelihood_curve import GRID
from qi_learn.gate.temperature import TemperatureFit

Logits = NDArray[np.float32]


def drawn(seed: int, count: int = 200, words: int = 60) -> list[tuple[Logits, int]]:
    """Logits and tokens that were drawn from them at temperature 1."""
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((count, words)) * 2.5).astype(np.float32)
    weights = np.exp(logits.astype(np.float64))
    return [
        (row, int(rng.choice(words, p=p / p.sum()))) for row, p in zip(logits, weights, strict=True)
    ]


def fitted(tokens: list[tuple[Logits, int]], factor: float = 1.0) -> float:
    fit = TemperatureFit()
    for logits, token in tokens:
        fit.take(logits * np.float32(factor), token, True)
    return fit.temperature()


def nll(tokens: list[tuple[Logits, int]], temperature: float) -> float:
    scaled = np.stack([logits for logits, _ in tokens]).astype(np.float64) / temperature
    own = scaled[np.arange(len(tokens)), [token for _, token in tokens]]
    top = scaled.max(axis=1)
    return math.fsum(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - own)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_one_with_the_lowest_nll(seed: int) -> None:
    tokens = drawn(seed)
    best = fitted(tokens)
    assert 0.8 < best < 1.25, "the tokens were drawn at 1"
    lowest = min(np.linspace(0.8, 1.25, 901), key=lambda t: nll(tokens, float(t)))
    assert best == pytest.approx(float(lowest), abs=6e-4)
    slope = (nll(tokens, best * 1.0001) - nll(tokens, best / 1.0001)) / (2e-4)
    assert abs(slope) < 1e-2


@pytest.mark.parametrize("factor", [1.05, 1.05**6, 0.8, 2.0])
def test_it_grows_as_the_logits_do(factor: float) -> None:
    """So that a model which only became surer of the same is at its own temperature what it was."""
    for seed in range(4):
        tokens = drawn(seed)
        assert fitted(tokens, factor) / fitted(tokens) == pytest.approx(factor, rel=1e-5)


def test_tokens_that_are_all_the_likeliest_have_none_but_the_end() -> None:
    sure = [(row, int(row.argmax())) for row, _ in drawn(1)]
    assert fitted(sure) == pytest.approx(1 / GRID[-1])
    wrong = [(row, int(row.argmin())) for row, _ in drawn(1)]
    assert fitted(wrong) == pytest.approx(1 / GRID[0])


def test_a_few_tokens_that_a_person_wrote_are_enough() -> None:
    """Beside answers that the model gave itself, which alone say nothing about it."""
    sure = [(row, int(row.argmax())) for row, _ in drawn(1)]
    mixed = [*sure, *drawn(2, 60)]
    assert 1 / GRID[-1] < fitted(mixed) < 1
    assert fitted(mixed, 1.05) / fitted(mixed) == pytest.approx(1.05, rel=1e-5)


def test_a_model_surer_of_its_own_words_alone_keeps_nearly_its_temperature() -> None:
    """Else it could win: at a larger one, text that it is too sure of looks likelier."""
    own, persons = drawn(1, 1000), drawn(2, 200)

    def temperature(factor: float) -> float:
        fit = TemperatureFit()
        for logits, token in own:
            fit.take(logits * np.float32(factor), token, False)
        for logits, token in persons:
            fit.take(logits, token, True)
        return fit.temperature()

    assert temperature(1.3) / temperature(1.0) == pytest.approx(1.0, abs=0.06)


def test_nothing_and_no_numbers_leave_it_at_one() -> None:
    assert TemperatureFit().temperature() == 1.0
    fit = TemperatureFit()
    fit.take(np.full(10, np.nan, np.float32), 3, False)
    assert fit.temperature() == 1.0
