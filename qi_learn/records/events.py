"""What a producer reports: one line of the spool, and the words for its kind and author."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from qi_learn.record_class import dataclass

Author = Literal["person", "agent", "model", "unknown"]
"""What made a change or gave a rating."""
EventKind = Literal[
    "turn",
    "edit",
    "rating",
    "outcome",
    "git",
    "hook",
    "cycle",
    "release",
    "left_out",
    "sign",
]
"""What happened: an answer, a saved file, a rating, the end of a command, a commit, a hook's own
report, a step of a learning cycle, a switch of versions, keyed hashes of what was left out, what a
tool says became of an edit.
"""
EVENT_KINDS: tuple[EventKind, ...] = (
    "turn",
    "edit",
    "rating",
    "outcome",
    "git",
    "hook",
    "cycle",
    "release",
    "left_out",
    "sign",
)
AUTHORS: tuple[Author, ...] = ("person", "agent", "model", "unknown")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the spool: something that happened, as its producer reported it."""

    id: str
    """ULID; for a line without one, its file's name and the offset in it."""
    kind: EventKind
    ts: float
    """When it happened."""
    source: str
    """Its producer: `gateway`, `cli`, `cycle`, the name of a hook or an editor, ..."""
    body: Mapping[str, Any]
    """What the kind prescribes, as `store/event_intake.py` reads it."""
    author: Author = "unknown"
    project: str | None = None
    """Directory of the project it belongs to; None if it is not known."""

    @property
    def began(self) -> float:
        """When what it tells began: a command has a length."""
        seconds = self.body.get("seconds") if self.kind == "outcome" else None
        return self.ts - seconds if isinstance(seconds, int | float) and seconds > 0 else self.ts
