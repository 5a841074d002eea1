"""What is known of a packed file, what the gate measured, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping

from qi_learn.record_class import dataclass

NOT_RUN = "not run"
"""How the reason of a check begins that had nothing to go by, and so passes."""


@dataclass(frozen=True, slots=True)
class TensorGain:
    """How much of the intended change of one tensor survived quantising."""

    name: str
    type_before: str
    """The base's ggml type: `Q4_K`, ..."""
    type_after: str
    """The ggml type in the packed file."""
    gain: float
    """The change in the file along the intended one: 1.0 is all of it (on average)."""
    cosine: float
    """Of the angle between the two changes: 1.0 is the same direction."""
    bytes: int
    """Size of the tensor in the packed file."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A complete GGUF made from the base and one adapter."""

    path: str
    digest: str
    """sha256 (hex) of the file."""
    scale: float
    """Factor of the delta in it."""
    gains: tuple[TensorGain, ...]
    """One for each tensor that the adapter touches."""
    bytes_rewritten: int
    bytes_total: int
    seconds: float
    """How long packing took."""
    rank: int = 0
    """The joined adapter's largest rank over its modules."""
    lost: float = 0.0
    """What cutting the joined adapter's rank cost, |dW - dW'| / |dW|; 0 if nothing was cut and the
    join is exact.
    """


@dataclass(frozen=True, slots=True)
class SuiteNll:
    """NLL of one suite under one file: sums over target tokens per example, in nats."""

    suite: str
    ids: tuple[str, ...]
    """The examples, in the order of all the fields below."""
    units: tuple[str, ...]
    """What an interval treats as independent: the session, or the example."""
    nll: tuple[float, ...]
    tokens: tuple[int, ...]
    """The number of target tokens that each sum is over."""
    code_nll: tuple[float, ...]
    """The same sums over code tokens alone."""
    code_tokens: tuple[int, ...]
    person_nll: tuple[float, ...] = ()
    """The same sums over the tokens that the person wrote or changed, at a temperature; empty if
    nobody asked for them.
    """
    person_tokens: tuple[int, ...] = ()
    temperature: float = 1.0
    """What the logits are divided by for `person_nll`, each model's own. Where that differs by
    session, what is fitted on all of them.
    """
    person_nll_at_one: tuple[float, ...] = ()
    """As `person_nll`, at `temperature` for every session; empty if that is no other."""

    @property
    def per_token(self) -> float:
        """Nats per target token over the suite; NaN if it has none (no examples, or only ends)."""
        tokens = sum(self.tokens)
        return sum(self.nll) / tokens if tokens else float("nan")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Greedy answers of one served model to the gate set."""

    ids: tuple[str, ...]
    """The examples, in the order of the fields below."""
    similarity: tuple[float, ...]
    """Edit similarity of the answer's code to the kept code, 0..1."""
    coherent: tuple[bool, ...]
    """Whether the answer ends within the limit, does not loop, and parses."""
    answers: tuple[str, ...]
    tokens_per_second: float
    """Median over the answers, of generating alone."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Which tasks with hidden checks a served model's code passed when it ran in the sandbox."""

    ids: tuple[str, ...]
    """The tasks."""
    passed: tuple[bool, ...]
    problem: str = ""
    """Why nothing, or not everything, was run; empty if all was."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """Whether a served model works at all, next to the base: the first rule of the gate."""

    answers: bool
    stops: bool
    """Whether it ends an answer by itself whenever the base does."""
    same_template: bool
    """Whether a fixed conversation renders to the same text as under the base."""
    same_stops: bool
    """Whether it has the base's end token and stop texts."""
    problem: str = ""
    """The server's own words if it did not answer."""
    same_twice: bool = True
    """Whether it gives the same answer when asked greedily again, whenever the base does."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret-shaped text that a candidate wrote; never the text itself."""

    kind: str
    """Which of the redaction rules matched: `aws-key`, `assigned`, ..."""
    where: str
    """In which of the candidate's texts: `an answer on fresh work`, ..."""
    learned: float
    """NLL of that text under the base's file minus under the candidate's, in nats: how much
    likelier the candidate finds it.
    """


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the gate: what was measured, against which limit, and in words."""

    name: str
    passed: bool
    value: float | None
    """The number that was measured; None if there is none."""
    low: float | None
    """Lower end of its interval; None if the rule has no interval."""
    high: float | None
    """Upper end of its interval."""
    limit: float | None
    """What the number or an end of its interval is held against."""
    reason: str
    """What was found, as a sentence."""

    @property
    def ran(self) -> bool:
        """False if the rule had nothing to go by here, which its reason says first."""
        return not self.reason.startswith(NOT_RUN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate ships, and why."""

    ships: bool
    """Whether every check passed."""
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    """What a person should know that decides nothing."""
    risk: str
    """What may go wrong with it, in words."""
    rollback_plan: str
    """How to go back, and to which version."""
    scale: float
    """Factor of the delta in the packed file."""
    compared_with: str
    """The version that was live."""
    numbers: Mapping[str, float]
    """The figures that were measured, by name."""
    helps: tuple[str, ...] = ()
    """What would have made a refused candidate pass, as far as the numbers tell; empty if it ships
    or nothing is known.
    """
    earlier: tuple[Verdict, ...] = ()
    """Those on the same candidate that came to nothing because another version went live before the
    switch, oldest first: they are looks too.
    """

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not ship; empty if it does."""
        return tuple(c.reason for c in self.checks if not c.passed)

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The names of the rules that refuse it; empty if it ships."""
        return tuple(c.name for c in self.checks if not c.passed)


@dataclass(frozen=True, slots=True)
class PastLook:
    """A verdict that was given, and what it was given on."""

    verdict: Verdict
    examples: tuple[str, ...]
    """Ids of the fresh work that was looked at."""
    sessions: tuple[str, ...] = ()
    version: str = ""
    """That it led to; empty if to none."""
    """The sessions that it is of."""
