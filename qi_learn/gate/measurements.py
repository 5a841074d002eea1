"""What was measured, as the rules of the gate take it: records alone, nothing here measures.

The invariant that makes pairing possible: for one sequence of examples every model is measured on
the same tokens, and asked the same questions in the same order, one perhaps more of them than
another. Two models are compared on what both answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qi_learn.records import Behaviour, Execution, Leak, Smoke, SuiteNll, TensorGain


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """How likely one model finds what it should: fresh work, earlier work, everything else."""

    gate: SuiteNll
    old: SuiteNll
    general: Mapping[str, SuiteNll]
    """By name: a language, a format, questions that only look like the learned ones."""

    @property
    def suites(self) -> tuple[SuiteNll, ...]:
        """All of them."""
        return (self.gate, self.old, *self.general.values())


@dataclass(frozen=True, slots=True)
class Measurements(Likelihoods):
    """Everything the gate measures of one model: the candidate, the live version or the base."""

    behaviour: Behaviour
    execution: Execution = Execution((), (), "it was not asked for")  # noqa: RUF009 -- frozen


@dataclass(frozen=True, slots=True)
class Comparison:
    """The three models that a verdict compares, measured on the same suites."""

    candidate: Measurements
    live: Measurements
    base: Measurements
    past: tuple[tuple[float, ...], ...] = ()
    """Of each other version that was live and has numbers: the NLL of each example of earlier work,
    NaN where it has none (`best.past_versions`).
    """
    unknown: int = 0
    """Others that were live, and have no numbers to hold a candidate against."""
    earlier: int = 0
    """The examples of earlier work that there are, read or not."""


@dataclass(frozen=True, slots=True)
class CandidateFindings:
    """What is known of the candidate alone."""

    smoke: Smoke
    gains: Sequence[TensorGain]
    """What packing kept of each tensor's change."""
    leaks: Sequence[Leak]
    """The secret-shaped texts in what the candidate generated."""
    scale: float
    """The factor on the delta in the packed file."""


@dataclass(frozen=True, slots=True)
class ReportedOnly:
    """What a verdict reports and never decides by; None or empty if it was not measured."""

    few_shot: Behaviour | None = None
    """The base with examples in its prompt: the competitor that needs no training."""
    dev_by_scale: Mapping[float, float] = field(default_factory=dict)
    """Nats a token on dev, for each scale of the delta that was tried."""
    packing_cost: float | None = None
    """Nats a token on dev, packed minus trained."""
    rollback_seconds: float | None = None
    """Seconds that the last rollback on this machine took."""
    cycles: Mapping[str, str] = field(default_factory=dict)
    """For the id of each example of earlier work the run that it was fresh work of."""
    fixed: Mapping[str, SuiteNll] = field(default_factory=dict)
    """What every version is measured on, by `candidate`, `live` and `base`."""
    own: int = 0
    """New examples of the data set that the person changed or wrote; 0 if that is not known."""


def together(own: Behaviour, aside: Behaviour) -> Behaviour:
    """The answers to two series of questions as one; the speed is the first's, if it has one."""
    speed = own.tokens_per_second
    return Behaviour(
        own.ids + aside.ids,
        own.similarity + aside.similarity,
        own.coherent + aside.coherent,
        own.answers + aside.answers,
        speed if speed == speed else aside.tokens_per_second,
    )


def answers_to(behaviour: Behaviour, ids: Collection[str]) -> Behaviour:
    """Those of the answers, in their order."""
    kept = [n for n, name in enumerate(behaviour.ids) if name in ids]
    return replace(
        behaviour,
        ids=tuple(behaviour.ids[n] for n in kept),
        similarity=tuple(behaviour.similarity[n] for n in kept),
        coherent=tuple(behaviour.coherent[n] for n in kept),
        answers=tuple(behaviour.answers[n] for n in kept),
    )


def paired(one: Behaviour, other: Behaviour) -> tuple[Behaviour, Behaviour]:
    """Both on the questions that both answered."""
    return answers_to(one, set(other.ids)), answers_to(other, set(one.ids))
