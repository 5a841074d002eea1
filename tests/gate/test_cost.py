"""What a gate took, and what it would take with another model."""

from __future__ import annotations

import pytest

from qi_learn.gate.cost import PARAMETERS_7B, Cost, cost_of, cost_sentence

TAKEN = Cost(
    read=40_000,
    asked=8_000,
    generated=4_000,
    read_seconds=50.0,
    generate_seconds=80.0,
    parameters=152_000_000,
)


def test_rates_are_measured_and_times_follow_from_them() -> None:
    assert (TAKEN.rate_read, TAKEN.rate_generated) == (800.0, 50.0)
    assert TAKEN.seconds() == 50 + 8_000 / 800 + 80
    assert TAKEN.seconds(PARAMETERS_7B) == pytest.approx(50 * TAKEN.seconds())


def test_it_says_so_in_words() -> None:
    assert cost_sentence(TAKEN) == (
        "read 40,000 tokens (800 a second) and generated 4,000 (50 a second) in 2 min; a 7B model "
        "would take 1.9 h here, by its number of parameters"
    )


def test_a_verdict_keeps_it_and_one_of_before_has_none() -> None:
    numbers = TAKEN.numbers()
    assert numbers["tokens_read"] == 40_000
    assert numbers["tokens_generated"] == 4_000
    assert cost_of({**numbers, "accuracy": 0.0}) == TAKEN
    assert cost_of({"accuracy": 0.0, "tokens_read": 3.0}) is None


def test_nothing_read_takes_no_time() -> None:
    idle = Cost(0, 0, 0, 0.0, 0.0, 152_000_000)
    assert (idle.rate_read, idle.rate_generated, idle.seconds(PARAMETERS_7B)) == (0.0, 0.0, 0.0)
