"""What `export data --format jsonl` writes of a turn, and what `import jsonl` brings back of it.

The invariant: all of it was seen or said, with the ids under which it is stored. So it is the same
in another home, and in the one that it is from it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from qi_learn.record_class import dataclass
from qi_learn.records.evidence import CommandResult, Feedback, Mark, Outcome, Score, Suggestion
from qi_learn.records.scorable import AnswerFacts
from qi_learn.records.surviving_lines import Survival


@dataclass(frozen=True, slots=True)
class GivenRating:
    """A rating that a person gave a turn, and how the turn was found."""

    id: str
    """Of its event."""
    ts: float
    rating: int | None = None
    correction: str | None = None
    comment: str | None = None
    mark: Mark | None = None
    match_method: str | None = None
    match_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a turn: all that hangs on it."""

    ratings: tuple[GivenRating, ...] = ()
    """Oldest first."""
    suggestions: tuple[Suggestion, ...] = ()
    """Empty: they are found in the answer again."""
    seen: Feedback = field(default_factory=Feedback)
    """The half of its feedback that was seen, not said."""
    outcome: Outcome = field(default_factory=Outcome)
    facts: AnswerFacts | None = None
    left: tuple[Survival, ...] = ()
    """What is left of the lines of those that were committed."""
    score: Score | None = None
    """None if it was not scored since its evidence changed."""
    redacted: bool = False
    """Whether something was taken out of its texts before they were stored."""
    never_learn: bool = False
    """Whether the person kept it from learning (`forget --keep-record`)."""


@dataclass(frozen=True, slots=True)
class ReturningTurn:
    """A turn that an export holds, with its own id."""

    key: str
    """Its id."""
    cursor: str
    ended: float
    started: float
    turn: Mapping[str, Any]
    """The record `Turn`, as JSON."""
    became: Became = field(default_factory=Became)
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class ReturningRating:
    """A rating that an export holds."""

    key: str
    """Of the turn."""
    cursor: str
    given: GivenRating


@dataclass(frozen=True, slots=True)
class ReturningCommand:
    """The result of a command that an export holds, with its own id."""

    cursor: str
    result: CommandResult
    joined: bool
    """Whether what it says of suggestions is in their outcomes."""
