"""Measurements of made-up models for the rules of the gate, and the verdict on one of them."""

from __future__ import annotations

from typing import Any

from qi_learn.gate.ledger import NextLook
from qi_learn.gate.measurements import CandidateFindings, Comparison, Measurements, ReportedOnly
from qi_learn.gate.verdict import give_verdict
from qi_learn.records import Behaviour, Check, Leak, Smoke, SuiteNll, TensorGain, Verdict

N = 25
GAINS = (
    TensorGain("blk.9.attn_q.weight", "Q4_1", "Q8_0", 1.0, 0.99, 100),
    TensorGain("blk.9.ffn_up.weight", "Q4_1", "Q8_0", 0.9, 0.9, 100),
)
SOUND = Smoke(answers=True, stops=True, same_template=True, same_stops=True)


def suite(
    name: str, per_token: list[float], *, tokens: int = 10, units: tuple[str, ...] | None = None
) -> SuiteNll:
    ids = tuple(f"{name}{i}" for i in range(len(per_token)))
    nll = tuple(v * tokens for v in per_token)
    counts = (tokens,) * len(ids)
    return SuiteNll(name, ids, units or ids, nll, counts, nll, counts, nll, counts)


def spread(mean: float, by: float = 0.01, n: int = N) -> list[float]:
    """n values around a mean, alternating, so that the spread is known."""
    return [mean + (by if i % 2 else -by) for i in range(n)]


def answers(
    similarity: float = 0.8, *, coherent: int = N, speed: float = 50.0, n: int = N
) -> Behaviour:
    return Behaviour(
        tuple(f"gate{i}" for i in range(n)),
        (similarity,) * n,
        tuple(i < coherent for i in range(n)),
        ("x",) * n,
        speed,
    )


def model(
    gate: float = 2.0, old: float | None = 1.5, general: float = 1.0, **behaviour: Any
) -> Measurements:
    return Measurements(
        suite("gate", spread(gate)),
        suite("old", spread(old) if old is not None else []),
        {"python_stdlib": suite("python_stdlib", spread(general))},
        answers(**behaviour),
    )


BEFORE = model()


def verdict_on(
    candidate: Measurements,
    live: Measurements = BEFORE,
    base: Measurements = BEFORE,
    smoke: Smoke = SOUND,
    *,
    gains: tuple[TensorGain, ...] = GAINS,
    leaks: tuple[Leak, ...] = (),
    scale: float = 1.0,
    rollback_to: str = "1.0.0",
    past: tuple[tuple[float, ...], ...] = (),
    unknown: int = 0,
    earlier: int = 0,
    look: NextLook | None = None,
    **reported: Any,
) -> Verdict:
    """The verdict against version 1.0.0, on a candidate that is sound unless told otherwise."""
    return give_verdict(
        Comparison(candidate, live, base, past, unknown, earlier),
        CandidateFindings(smoke, gains, leaks, scale),
        compared_with="1.0.0",
        rollback_to=rollback_to,
        look=look,
        reported=ReportedOnly(**reported),
    )


def check(verdict: Verdict, name: str) -> Check:
    return next(c for c in verdict.checks if c.name == name)


def failed(verdict: Verdict) -> list[str]:
    return [c.name for c in verdict.checks if not c.passed]
