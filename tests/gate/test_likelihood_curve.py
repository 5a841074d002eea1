"""The NLL of tokens at every temperature, from one reading, against the sum at that temperature."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.gate.likelihood_curve import GRID, NO_TOKENS, Curve, CurveSums, curve_of

Logits = NDArray[np.float32]


def drawn(rng: np.random.Generator, words: int, scale: float) -> list[tuple[Logits, int]]:
    """Logits as models have them: some sure of one token, and the token that came another one."""
    made = []
    for number in range(40):
        logits = (rng.standard_normal(words) * scale).astype(np.float32)
        if number % 2:
            logits[rng.integers(words)] += np.float32(4 * scale)
        token = rng.integers(words) if number % 3 else logits.argmax()
        made.append((logits, int(token)))
    return made


def curve(tokens: list[tuple[Logits, int]]) -> Curve:
    sums = CurveSums()
    for logits, token in tokens:
        sums.take(logits, token)
    return sums.curve()


def nll(tokens: list[tuple[Logits, int]], temperature: float) -> float:
    total = 0.0
    for logits, token in tokens:
        scaled = logits.astype(np.float64) / temperature
        top = scaled.max()
        total += math.log(np.exp(scaled - top).sum()) + top - scaled[token]
    return total


@pytest.mark.parametrize(("words", "scale"), [(60, 2.5), (60, 6.0), (3000, 2.5), (3000, 5.0)])
def test_it_is_the_nll_at_any_temperature(words: int, scale: float) -> None:
    """To within 1e-5 nat a token, which is less than llama.cpp's own rounding by a thousand."""
    tokens = drawn(np.random.default_rng(words), words, scale)
    whole = curve(tokens)
    for temperature in np.geomspace(1 / 3, 16, 61).tolist():
        error = (whole.at(temperature) - nll(tokens, temperature)) / len(tokens)
        assert abs(error) < 1e-5
    assert whole.at(1.0) == whole.nll[GRID.index(1.0)]


def test_curves_add_up_token_by_token() -> None:
    tokens = drawn(np.random.default_rng(1), 60, 2.5)
    both = curve(tokens[:10]) + curve(tokens[10:])
    assert both.tokens == 40
    assert both.at(1.3) == pytest.approx(curve(tokens).at(1.3), abs=1e-6)
    assert NO_TOKENS + both == both
    assert NO_TOKENS.at(0.7) == 0.0


def test_one_that_was_stored_is_the_same_to_the_last_bit() -> None:
    whole = curve(drawn(np.random.default_rng(2), 60, 2.5))
    assert curve_of(json.loads(json.dumps(whole.values()))) == whole
    assert curve_of(()) is None
    assert curve_of(whole.values()[:-1]) is None
    assert curve_of(["x"]) is None  # type: ignore[list-item]


def test_what_is_no_number_stays_none() -> None:
    sums = CurveSums()
    sums.take(np.full(10, np.nan, np.float32), 3)
    assert math.isnan(sums.curve().at(1.1))


def test_a_temperature_beyond_the_grid_is_an_error() -> None:
    assert NO_TOKENS.at(1 / GRID[-1]) == NO_TOKENS.at(1 / GRID[0]) == 0.0
    with pytest.raises(ValueError, match="beyond the grid"):
        NO_TOKENS.at(20.0)
