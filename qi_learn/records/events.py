"""What a producer tells: one line of the spool, and the words for its kind and author."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Author = Literal["person", "agent", "model", "unknown"]
EventKind = Literal["turn", "edit", "rating", "outcome", "git", "hook", "cycle", "release"]
EVENT_KINDS: tuple[EventKind, ...] = (
    "turn",
    "edit",
    "rating",
    "outcome",
    "git",
    "hook",
    "cycle",
    "release",
)
AUTHORS: tuple[Author, ...] = ("person", "agent", "model", "unknown")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the spool: something that happened, as its producer told it."""

    id: str
    kind: EventKind
    ts: float
    source: str
    body: Mapping[str, Any]
    author: Author = "unknown"
    project: str | None = None
