"""What track reads and what it answers.

A suggestion with what following it needs of its turn, and what became of a turn's suggestions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from qi_learn.record_class import dataclass
from qi_learn.records.evidence import Feedback, Suggestion


@dataclass(frozen=True, slots=True)
class TurnHead:
    """A turn without its texts."""

    id: str
    endpoint: str
    started: float
    ended: float
    status: int
    project: str | None
    cancelled: bool = False
    """Whether the client left before the answer's end."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A suggestion, with what following it needs of its turn."""

    suggestion: Suggestion
    turn: TurnHead
    prompt: str = ""
    """The text that the answer goes on from; empty for a conversation."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """As `Turn.request`; empty for a conversation."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A suggestion that waits to be found in a file, without its text."""

    turn_id: str
    ordinal: int
    started: float
    ended: float
    """When its turn was."""
    completion: bool
    """Whether it may be the rest of what the person was writing."""
    left_out: bool
    """Whether its own place was seen without it."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from every other."""
        return self.turn_id, self.ordinal


@dataclass(frozen=True, slots=True)
class TurnChange:
    """What a save, a move of HEAD or time made of a turn's suggestions."""

    turn_id: str
    suggestions: tuple[Suggestion, ...]
    """Those that are not as they were."""
    feedback: Feedback
    """The implicit feedback that follows from all suggestions of the turn."""
    project: str | None = None
    """The project in which the answer was found; None if it was known before."""
    bug_introduced: bool = False
    """Whether a repair blames code of the turn; if none does, what was blamed before is not."""
