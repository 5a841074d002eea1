"""`scripts/bench noise`: the fit on falls whose noise is known, and a whole run on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.gating.update_noise import (
    Falls,
    correlation,
    fit_variance,
    skewness,
    standardised,
)
from tests.support.tiny_models import write_tiny_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "noise.py"


def drawn(
    a: float, b: float, *, sets: int = 400, sessions: int = 5, shared: float = 0.0
) -> list[Falls]:
    """Sets of 25 falls with that noise, `shared` the variance that sessions have in common."""
    rng = np.random.default_rng(1)
    made = []
    for _ in range(sets):
        tokens = np.exp(rng.uniform(np.log(3), np.log(60), 25)).astype(int)
        session = rng.normal(0, shared**0.5, sessions)[np.arange(25) % sessions]
        falls = 0.1 + session + rng.normal(0, np.sqrt(a + b / tokens))
        units = tuple(f"s{n % sessions}" for n in range(25))
        made.append(Falls(tuple(tokens.tolist()), tuple(falls.tolist()), units))
    return made


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.6), (0.02, 0.0), (0.0, 0.6)])
def test_how_noise_depends_on_tokens_is_found(a: float, b: float) -> None:
    fit = fit_variance(drawn(a, b))
    assert fit.a == pytest.approx(a, abs=0.003)
    assert fit.b == pytest.approx(b, abs=0.06)
    assert standardised(drawn(a, b), fit).std() == pytest.approx(1.0)


def test_what_sessions_have_in_common_is_found_too() -> None:
    found = correlation(drawn(0.02, 0.6, shared=0.01))  # an example's own is 0.08 on average
    assert found.rho == pytest.approx(1 / 9, abs=0.03)
    alone = correlation(drawn(0.02, 0.6))
    assert alone.excess / alone.weight == pytest.approx(0.0, abs=0.01)


def test_skewness_has_the_sign_of_the_long_tail() -> None:
    values = np.random.default_rng(1).exponential(1, 20_000)
    assert skewness(values) == pytest.approx(2.0, abs=0.2)
    assert skewness(-values) == pytest.approx(-2.0, abs=0.2)


def test_a_run_goes_on_from_what_is_finished(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, tensor_type="Q8_0")
    command: list[str | Path] = [
        *(sys.executable, SCRIPT, "--base", base, "--cache", tmp_path / "cache"),
        *("--seeds", "0", "--shots", "4", "--stream", "conventions", "--tests", "4"),
        *("--steps", "2", "--out", tmp_path / "noise.json"),
    ]

    def run() -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env)

    first = run()
    result = json.loads(first.stdout.splitlines()[-1])
    assert "trained in" in first.stderr
    assert result["updates"] == 1
    assert [result[kind]["sets"] for kind in ("own_x1", "own_x0.25", "others_x1")] == [1, 1, 1]
    assert result["others_x1"]["whole"]["tokens"] > result["others_x1"]["spans"]["tokens"] > 3
    sets = json.loads((tmp_path / "noise.json").read_text())["sets"]
    assert [(one["own"], one["scale"]) for one in sets] == [
        (True, 1.0),
        (False, 1.0),
        (True, 0.25),
        (False, 0.25),
    ]
    assert all(len(one["falls"]) == 4 for one in sets)
    again = run()
    assert "trained in" not in again.stderr
    assert json.loads(again.stdout.splitlines()[-1]) == result
