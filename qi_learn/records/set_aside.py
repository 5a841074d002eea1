"""What could not be understood and was left out, counted by kind."""

from __future__ import annotations

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class SetAside:
    """How often something of one kind was left out, and the last of them."""

    kind: str
    """What it was: `save`, `commit`, `suggestion`, `classes`, `outcome`, `facts`, `score`,
    `context` or `project`.
    """
    count: int
    """How often, since the process started."""
    ts: float
    """When it last happened."""
    name: str
    """The last of them: a path, the id of a turn."""
    reason: str
    """What was wrong with it."""
