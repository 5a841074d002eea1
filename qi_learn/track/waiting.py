"""Which of the suggestions that wait a save says something about, without loading all of them.

What a suggestion says never changes, so what is compared of it is found once, when its answer is
new, and kept. The invariant: what is chosen has all that the save may place, and the completions
whose own place it may have, as many as are compared. So what becomes of each suggestion is the same
as if all were loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest

from qi_learn.records import Tracked, Waiting
from qi_learn.step_guard import StepGuard
from qi_learn.track.match import NotCompared, share_of
from qi_learn.track.save import Save
from qi_learn.track.sketch import Sketch, sketch_of
from qi_learn.track.suggestions import frame_of

CLOSELY = 100
"""The most suggestions that one save is compared with, a millisecond each: of completions that are
made as a person types and that say almost the same, thousands may wait.
"""
MOST_CHARACTERS = 8_000_000
"""Up to so many characters of suggestions are kept; beyond, those that wait are loaded each time.
"""


@dataclass(slots=True)
class WaitingSketches:
    """What the waiting suggestions say, found once for each."""

    _known: dict[tuple[str, int], tuple[float, int, Sketch]] = field(default_factory=dict)
    """By suggestion: when its answer ended, how many characters it has."""
    _characters: int = 0

    def lacking(self, waiting: Iterable[Waiting]) -> set[str]:
        """The turns of those that are not known yet, and of which there is room to know more."""
        if self._characters >= MOST_CHARACTERS:
            return set()
        return {each.turn_id for each in waiting if each.key not in self._known}

    def learn(self, tracked: Sequence[Tracked], guard: StepGuard, *, since: float) -> None:
        """Know suggestions, and forget those of answers that ended before a time.

        One that cannot be understood stays unknown: it is set aside where it is loaded.
        """
        if not tracked:
            return
        self._known = {key: known for key, known in self._known.items() if known[0] >= since}
        for each in tracked:
            suggestion = each.suggestion
            with suppress(*guard.failures):
                lines = frame_of(each).whole_lines(suggestion.text)
                key = suggestion.turn_id, suggestion.ordinal
                self._known[key] = each.turn.ended, len(lines), sketch_of(lines)
        self._characters = sum(characters for _, characters, _ in self._known.values())

    def chosen(self, waiting: Sequence[Waiting], save: Save) -> set[str]:
        """The turns of those of which a save says something.

        `waiting`: by the ends of their turns, as they are loaded.
        """
        turns: set[str] = set()
        ranked: list[tuple[float, float, int]] = []
        places: list[str] = []
        for number, each in enumerate(waiting):
            known = self._known.get(each.key)
            if known is None:
                turns.add(each.turn_id)
                continue
            try:
                share = _share(known[2], each, save)
            except save.guard.failures:  # set aside where it is compared
                turns.add(each.turn_id)
                continue
            if share is None:
                continue
            if share > 0:
                ranked.append((share, each.ended, -number))
            elif each.completion and not each.left_out:
                places.append(each.turn_id)
        turns |= set(places[-CLOSELY:])
        return turns | {waiting[-last].turn_id for _, _, last in nlargest(CLOSELY, ranked)}


def _share(sketch: Sketch, each: Waiting, save: Save) -> float | None:
    """How much of a suggestion is in new lines; None if it is not known which lines are new."""
    before = save.before(each.started)
    if before is None:
        return 0.0
    try:
        return share_of(sketch, before, save.text, min_tokens=save.settings.min_tokens)
    except NotCompared:
        return None
