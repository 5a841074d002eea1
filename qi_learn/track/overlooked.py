"""Suggestions that were lost sight of: what became of them is unknown, and never a rejection.

Something changed in their files that was not to be looked at: recording was paused. What was
settled before stays as it was then, and is followed no further. What waits may be found later: to
be found is a sign, not to be found is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qi_learn.records import Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.track.state import FOLLOWED, is_followed, turn_changes


def overlook(
    tracked: Sequence[Tracked],
    project: str,
    changed: Callable[[str], bool],
    settings: CaptureSettings,
    now: float,
) -> tuple[TurnChange, ...]:
    """What follows from a change of a project's files that was not looked at.

    `changed`: whether a file, by its path from the project, is one of them.
    """
    after = [
        _lost_sight_of(each.suggestion)
        for each in tracked
        if _waits(each, project) or _concerned(each, project, changed, now)
    ]
    return turn_changes(tracked, after, settings)


def _waits(tracked: Tracked, project: str) -> bool:
    return tracked.suggestion.state == "waiting" and tracked.turn.project in (None, project)


def _concerned(tracked: Tracked, project: str, changed: Callable[[str], bool], now: float) -> bool:
    """Whether the suggestion stood in such a file, or went and may have come again in it."""
    suggestion = tracked.suggestion
    if not is_followed(tracked, project, now):
        return False
    if suggestion.region is None:
        return suggestion.state == "placed"
    return suggestion.file is not None and changed(suggestion.file)


def _lost_sight_of(suggestion: Suggestion) -> Suggestion:
    if suggestion.state == "waiting":
        return replace(suggestion, state="unknown")
    if suggestion.state == "settled":
        # not looked at again: without its file it could not be told from code that is gone
        never_due = (suggestion.placed_at or 0.0) + FOLLOWED
        return replace(suggestion, file=None, looked_at=never_due)
    return replace(suggestion, state="unknown", file=None)
