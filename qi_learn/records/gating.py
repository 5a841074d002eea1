"""What is known of a packed file, what the gate measured, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorGain:
    """How much of the wanted change of one tensor survived quantising: 1.0 is all of it (on
    average).
    """

    name: str
    type_before: str
    type_after: str
    gain: float
    cosine: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A complete GGUF made from the base and one adapter."""

    path: str
    digest: str
    """sha256, hex."""
    scale: float
    gains: tuple[TensorGain, ...]
    bytes_rewritten: int
    bytes_total: int
    seconds: float
    rank: int = 0
    """Of the joined adapter, at most over its modules."""
    lost: float = 0.0
    """What cutting the joined adapter's rank cost, |dW - dW'| / |dW|; 0: nothing was cut, the join
    is exact.
    """


@dataclass(frozen=True, slots=True)
class SuiteNll:
    """NLL of one suite under one file: sums over target tokens per example, in nats."""

    suite: str
    ids: tuple[str, ...]
    units: tuple[str, ...]
    """What an interval treats as independent: the session, or the example."""
    nll: tuple[float, ...]
    tokens: tuple[int, ...]
    code_nll: tuple[float, ...]
    code_tokens: tuple[int, ...]

    @property
    def per_token(self) -> float:
        """Nats per target token over the suite; NaN for an empty suite."""
        return sum(self.nll) / sum(self.tokens) if self.tokens else float("nan")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Greedy answers of one served model to the gate set."""

    ids: tuple[str, ...]
    similarity: tuple[float, ...]
    """Edit similarity of the answer's code to the kept code, 0..1."""
    coherent: tuple[bool, ...]
    """Ends within the limit, does not loop, parses."""
    answers: tuple[str, ...]
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Execution:
    """Which of the tasks with hidden checks a served model's code passed, as it ran in the sandbox."""

    ids: tuple[str, ...]
    passed: tuple[bool, ...]
    problem: str = ""
    """Why nothing, or not everything, was run."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """Does a served model work at all, next to the base? (first rule of the gate)"""

    answers: bool
    stops: bool
    """It ends an answer by itself, wherever the base does."""
    same_template: bool
    """A fixed conversation renders to the same text as under the base."""
    same_stops: bool
    """The same end token and stop texts as the base."""
    problem: str = ""
    """What the server said where it did not answer."""
    same_twice: bool = True
    """Asked greedily again it gives the same answer, wherever the base does."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret-shaped text that a candidate said; never the text itself."""

    kind: str
    """Which of the store's rules knows it: `aws-key`, `assigned`, ..."""
    where: str
    learned: float
    """NLL of that text under the base's file minus under the candidate's, in nats: how much
    likelier the candidate finds it.
    """


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the gate: what was measured, against what, and in words."""

    name: str
    passed: bool
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ship or not, and why."""

    ships: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    risk: str
    rollback_plan: str
    scale: float
    compared_with: str
    numbers: Mapping[str, float]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not ship; empty where it does."""
        return tuple(c.reason for c in self.checks if not c.passed)
