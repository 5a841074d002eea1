"""The context of each turn's project (R2's projectContext and codebaseSnapshot), without a wait.

git is asked by a thread. A turn gets what is known if HEAD has not moved since; else it is stored
without a context, and given it when the thread has found it. So the drain waits for no process.

A daemon that is killed in between leaves those few turns without a context.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from qi_learn.codec import plain
from qi_learn.daemon.background import Background
from qi_learn.outside.git_files import Look, look_of_head
from qi_learn.records import Turn
from qi_learn.redact import Redactor
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import Store
from qi_learn.store.turns import give_context
from qi_learn.workspace.project_context import REMEMBERED_SECONDS, Contexts, ProjectContext

RECENT_SECONDS = 2.0
"""How long it is taken that HEAD has not moved: many turns in a row cost one look."""
MOST_WAITING = 10_000
"""The most turns that wait for the context of one project; later ones have none."""
KIND = "context"


@dataclass(slots=True)
class _Project:
    """What is known of one project, and who waits for more."""

    context: ProjectContext | None = None
    look: Look | None = None
    """How HEAD looked before the context was found."""
    found: float = float("-inf")
    looked: float = float("-inf")
    """When HEAD was last seen to look so."""
    asked: tuple[Look | None, float] = (None, float("-inf"))
    """How HEAD looked, and when, as the thread was asked."""
    waiting: list[str] = field(default_factory=list)

    def counts(self, now: float) -> bool:
        """Whether the context counts for as long as HEAD looks as it did."""
        committed = self.context is not None and self.context.commit is not None
        return committed or now - self.found < REMEMBERED_SECONDS


class TurnContexts:
    """Gives turns the contexts of their projects."""

    def __init__(
        self,
        background: Background,
        guard: StepGuard,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._background = background
        self._guard = guard
        self._monotonic = monotonic
        self._contexts = Contexts()  # the thread's own
        self._projects: dict[str, _Project] = {}

    def give(self, turn: Turn) -> Turn:
        """The turn with its project's context, if that is known; else it is given later."""
        if turn.project is None:
            return turn
        known = self._projects.setdefault(turn.project, _Project())
        if (context := self._fresh(turn.project, known)) is None:
            if len(known.waiting) < MOST_WAITING:
                known.waiting.append(turn.id)
            return turn
        return replace(turn, context=plain(context), commit=context.commit)

    def _fresh(self, project: str, known: _Project) -> ProjectContext | None:
        """The context as it is now; None if it is to be found first."""
        now = self._monotonic()
        if known.context is not None and now - known.looked < RECENT_SECONDS:
            return known.context
        look = look_of_head(Path(project))
        if known.context is not None and look == known.look and known.counts(now):
            known.looked = now
            return known.context
        if not self._background.has((KIND, project)):
            known.asked = look, now
            self._background.do((KIND, project), partial(self._contexts.of, Path(project)))
        return None

    def keep(
        self,
        store: Store,
        project: str,
        found: ProjectContext | Exception,
        redactor: Redactor,
    ) -> bool:
        """Take what the thread found, and give it to the turns that wait; whether there are any."""
        known = self._projects[project]
        waiting = known.waiting
        if isinstance(found, Exception):
            known.waiting = []
            self._guard.note(KIND, project, found)
            return False
        known.context = found
        known.look, known.found = known.asked
        known.looked = known.found
        if waiting:
            give_context(store, waiting, redactor.clean(plain(found)), found.commit)
            known.waiting = []
        return bool(waiting)
