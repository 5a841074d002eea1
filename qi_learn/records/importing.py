"""What another program's own log says: turns, and what it tells of what became of them.

`importers/` makes these records, one file a source, and `commands/import_.py` writes them to the
spool. What an export of our own brings back is in `records/returning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.record_class import dataclass
from qi_learn.records.evidence import Said
from qi_learn.records.returning import ReturningCommand, ReturningRating, ReturningTurn


@dataclass(frozen=True, slots=True)
class ImportedTurn:
    """A question and its answer, in the form in which the client exchanged them."""

    key: str
    """The same whenever this exchange is read, and another for every other one of its source."""
    cursor: str
    """Up to where its file is read, once this is taken."""
    endpoint: str
    """The route whose form request and answer have."""
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    started: float
    ended: float
    model: str
    """The name that was asked for; `unknown` if the log does not say."""
    local: bool | None = None
    """Whether a model on this machine answered; None if that is not known."""
    whole: bool = False
    """Whether the log holds all that the model read: only then the answer may be learned."""
    session: str | None = None
    directory: str | None = None
    """In which directory it was asked, if the log says."""
    cancelled: bool = False
    timed: bool = True
    """Whether the log has its time; else that is when the log was written."""


@dataclass(frozen=True, slots=True)
class ToolSign:
    """What a tool told of what became of a turn's edit."""

    key: str
    """Of the turn."""
    cursor: str
    ts: float
    said: Said
    call: str | None = None
    """The id of the tool call it is about; None: all that the turn suggested."""


@dataclass(frozen=True, slots=True)
class ToolRating:
    """What a person said of a turn in another program: a rating, a correction, or both."""

    key: str
    """Of the turn."""
    cursor: str
    ts: float
    rating: int | None = None
    correction: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A part of a log that was left out."""

    cursor: str
    where: str
    """In which line or row."""
    why: str


@dataclass(frozen=True, slots=True)
class ReadTo:
    """Told last by a source whose items come in another order than their cursors."""

    cursor: str


ImportedItem = (
    ImportedTurn
    | ReturningTurn
    | ReturningRating
    | ReturningCommand
    | ToolSign
    | ToolRating
    | NotUnderstood
    | ReadTo
)
