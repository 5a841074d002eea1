"""What of other programs' logs may come into a home, and what it has already.

The invariant: what was said in a pause, is older than texts are kept, or is of no registered
project does not come in this way either, and what was forgotten stays so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qi_learn.commands.import_places import ImportPlaces
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.paths import Paths
from qi_learn.records import ImportedTurn, ReturningTurn, Turn
from qi_learn.redact import Redactor, load_redactor
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.same_answers import answered_in, committed_answer, recorded_answer
from qi_learn.store.tombstones import Tombstones

DAY = 86400.0


@contextmanager
def known_here(paths: Paths) -> Iterator[tuple[Store, Redactor] | None]:
    """What the home has, to look up in it; None if there is no database."""
    if not paths.database.exists():
        yield None
        return
    with open_store(paths.database, readonly=True) as store:
        yield store, load_redactor(paths.redaction_key)


@dataclass(slots=True)
class ImportRules:
    """The rules of one import."""

    paths: Paths
    settings: Settings
    places: ImportPlaces
    now: float
    recorded: tuple[Store, Redactor] | None = None
    """What the home has."""

    def can_be(self, ts: float) -> bool:
        """Whether something can have been said at a time: a day to come is the clock's."""
        return 0 < ts <= self.now + DAY

    def left_out(self, item: ImportedTurn | ReturningTurn, *, by_person: bool) -> str:
        """Why a turn is not imported; empty if it is. `by_person`: a person wrote what it has."""
        if not (math.isfinite(item.started) and math.isfinite(item.ended)) or item.ended <= 0:
            return "without a time"
        if item.ended > self.now + DAY:
            return "of a time to come"
        days = self.settings.keep.raw_days
        if days and item.ended < self.now - days * DAY:
            return "older than texts are kept (keep.raw_days)"
        if PauseFile(self.paths.pause, mark=boot_clock).between(item.started, item.ended):
            return "in a pause"
        if reason := self.not_from_here(item.directory, item.started):
            return reason
        if by_person and self._has_an_answer(item.key):
            return "an answer was found in that commit"
        return ""

    def not_from_here(self, directory: str | None, at: float) -> str:
        """Why nothing of a directory is imported; empty if it is.

        A directory that was forgotten stays so, whichever project it is said to be of by now.
        """
        if directory is None:
            return ""
        if self.recorded is not None and Tombstones(self.recorded[0]).holds_place(at, directory):
            return "from a project that was forgotten"
        project = self.places.project_of(directory)
        if project is None and not self.settings.capture.unregistered:
            return "from no registered project"
        return ""

    def _has_an_answer(self, key: str) -> bool:
        """Whether a commit, with whose id a key begins, holds what a model suggested."""
        if self.recorded is None:
            return False
        return committed_answer(self.recorded[0], key.partition(":")[0])

    def was_forgotten(self, turn: Turn) -> bool:
        """Whether a turn without a time of its own says what one did that was forgotten."""
        if self.recorded is None:
            return False
        store, redactor = self.recorded
        return Tombstones(store).holds_words(turn) or Tombstones(store).holds_words(
            redactor.clean(turn).value
        )

    def recorded_turn(self, item: ImportedTurn | ReturningTurn, turn: Turn) -> str | None:
        """The turn that the gateway recorded of this exchange; without a time, any that is it."""
        if self.recorded is None or isinstance(item, ReturningTurn):
            return None
        store, redactor = self.recorded
        if not item.timed:
            return answered_in(store, redactor.clean(turn).value)
        calls = turn.answer_extra.get("tool_calls") or ()
        return recorded_answer(
            store,
            redactor.text(turn.answer),
            [str(call["id"]) for call in calls if call.get("id")],
            started=turn.started,
            ended=turn.ended,
            shown=turn.endpoint == "/v1/completions",
        )
