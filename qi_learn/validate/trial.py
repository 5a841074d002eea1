"""Everything the gate wants to know of one model: NLL from its file, answers from its server, on suites that are the same for all models compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.ollama import Ollama
from qi_learn.records import Behaviour, Example, Snapshot
from qi_learn.validate.measure import Measured, measure_behaviour, measure_nll
from qi_learn.validate.suite import asked_of, few_shots, gate_suite, old_suite


@dataclass(frozen=True, slots=True)
class Suites:
    """What every model is measured on."""

    gate: tuple[Example, ...]
    old: tuple[Example, ...]
    general: tuple[Example, ...]
    asked: tuple[Example, ...]
    """Those of the gate set whose questions are put to the served models."""
    shots: tuple[Example, ...]
    """Two training examples: what a person might put into the prompt instead of training."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, in tokens."""

    nll: int
    """Target tokens per suite."""
    answer: int
    context: int


def suites_of(snapshot: Snapshot, earlier: Sequence[Snapshot], general: tuple[Example, ...], limits: Limits) -> Suites:
    """The suites of a cycle. `earlier`: the snapshots behind the live version, oldest first."""
    gate = gate_suite(snapshot)
    longest = max((len(e.prompt_ids) for e in gate), default=0)
    return Suites(gate, old_suite(snapshot, earlier), general, asked_of(gate), few_shots(snapshot, room=limits.context - longest - limits.answer))


def measure_model(server: Ollama, model: str, path: Path, suites: Suites, limits: Limits) -> Measured:
    """One model, from its own file and through its server. Raises ModelError, ServerError."""
    gate, old, general = (
        measure_nll(path, name, examples, max_tokens=limits.nll, context=limits.context)
        for name, examples in (("gate", suites.gate), ("old", suites.old), ("general", suites.general))
    )
    return Measured(gate, old, general, measure_behaviour(server, model, suites.asked, answer_tokens=limits.answer))


def few_shot_behaviour(server: Ollama, base: str, suites: Suites, limits: Limits) -> Behaviour | None:
    """The base with examples in its prompt: the competitor that needs no training. None where no example fits into the context."""
    return measure_behaviour(server, base, suites.asked, answer_tokens=limits.answer, shots=suites.shots) if suites.shots else None
