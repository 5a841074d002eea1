"""What scoring reads of a turn: the answer, what is true of it for good, and what became of it."""

from __future__ import annotations

from qi_learn.record_class import dataclass
from qi_learn.records.evidence import Feedback, Outcome, Suggestion


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """An answer that is to be looked at: never its conversation."""

    turn_id: str
    project: str | None
    """Directory of the project it belongs to."""
    started: float
    """When its request arrived: what the project had before that was not the answer's."""
    answer: str
    suggested: tuple[tuple[str, str | None], ...]
    """The texts of its suggestions, each with its language: of those that it is about."""
    about: str = ""
    """The numbers of the suggestions that were placed, if others were not: the others were not
    taken, and say nothing. Empty if it is about the whole answer.
    """


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What is true of an answer's code for good: found out once, outside the daemon's loop."""

    turn_id: str
    project: str | None
    """The project in which it was looked at; another one makes it worth another look."""
    parses: bool | None
    """Whether all its code parses; None if it has none that can be parsed."""
    findings: int | None
    """What a linter found in its code; None if none looked."""
    lines: int
    """Lines of its code."""
    names: int
    """Names in its code that were looked for in the project."""
    names_used: int | None
    """Those of them that the project used before the turn; None if that is unknown."""
    found_at: float
    about: str = ""
    """As in `AnswerSource`; once others are placed it is worth another look."""


@dataclass(frozen=True, slots=True)
class Scorable:
    """Everything that the scores of one turn are made of."""

    turn_id: str
    project: str | None
    domain: str
    """Empty if it is not known."""
    answer: str
    suggestions: tuple[Suggestion, ...]
    feedback: Feedback
    outcome: Outcome
    facts: AnswerFacts
    reply: str | None = None
    """What the person wrote next in the conversation; None if nothing is known of that."""
