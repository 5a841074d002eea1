"""How many of a suggestion's lines a project still has, some time after they were committed."""

from __future__ import annotations

from qi_learn.record_class import dataclass

DAY, WEEK = 86400.0, 7 * 86400.0
"""Seconds after its commit at which the lines of a suggestion are counted again."""


@dataclass(frozen=True, slots=True)
class Survival:
    """The lines of a committed suggestion: those that its commit brought, and what is left of them.

    A share is of `own`; None if it was not counted yet, or could not be.
    """

    turn_id: str
    ordinal: int
    commit: str = ""
    """The commit that brought them; empty if that could not be told."""
    file: str = ""
    """The file in that commit, from the top of its working tree."""
    own: int = 0
    """Lines of the suggestion that are not blank and were not there before it."""
    lines: tuple[tuple[int, ...], ...] = ()
    """For each that the commit has, the numbers of the lines that hold it; empty once all is
    counted.
    """
    made: float = 0.0
    """When the commit was made."""
    at_commit: float | None = None
    after_day: float | None = None
    after_week: float | None = None
    due: float | None = None
    """When they are counted next; None if never again."""
