"""What kind of turn each new one is, found in the loop, for a bounded time a round.

A turn is scored only once it has its classes (`score_queue`), so none is scored without its domain.
"""

from __future__ import annotations

import time

from qi_learn.redact import Redactor
from qi_learn.score import classify
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.own_redactor import redactor_of

AT_ONCE = 100
"""The most turns that one round asks the database for."""


class Classifying:
    """Classifies turns, oldest first, those of a process that was killed before it too."""

    def __init__(self, guard: StepGuard) -> None:
        self._guard = guard
        self.left = True
        """Whether turns may be left that have no classes."""

    def look_again(self) -> None:
        """Take it that there are new turns."""
        self.left = True

    def classify(self, store: Store, over: float) -> int:
        """Classify turns until `over` (of the monotonic clock), one at least; how many."""
        waiting = feedback.unclassified_turns(store, limit=AT_ONCE)
        redactor = redactor_of(store)
        done = 0
        with store.transaction():
            for turn_id in waiting:
                self._classify(store, turn_id, redactor)
                done += 1
                if time.monotonic() >= over:
                    break
        self.left = done < len(waiting) or len(waiting) == AT_ONCE
        return done

    def _classify(self, store: Store, turn_id: str, redactor: Redactor) -> None:
        classes = classify.Classes("problem_solving", "simple", "general", ())
        with self._guard.step("classes", turn_id):
            classes = classify.classify(turns.load_turn(store, turn_id))
        feedback.save_classes(
            store,
            turn_id,
            classes.learning_type,
            classes.complexity,
            classes.domain,
            redactor.clean(classes.tools),
        )
