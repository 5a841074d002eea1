"""Evidence into the store: drain the spool, follow suggestions in files and commits, apply outcomes, score what changed.

This is the only code that writes the database. `tick` is one round; it is idempotent, so that a daemon killed in the middle of one loses nothing:
what was not taken in is still in the spool, and what was not scored is still marked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from qi_learn.capture import outcome, survival
from qi_learn.capture.commits import on_committed
from qi_learn.capture.watch import Committed, FileSaved, Watcher
from qi_learn.capture.wire import decode
from qi_learn.paths import Paths
from qi_learn.score import classify, quality
from qi_learn.serve.projects import load_projects
from qi_learn.settings import Settings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.ingest import drain

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Intake:
    """Holds the watcher; everything else is in the store."""

    paths: Paths
    settings: Settings
    watcher: Watcher
    _projects: tuple[Path, ...] = ()
    _projects_mtime: float = -1.0

    def tick(self, store: Store, now: float) -> int:
        """One round; returns how many events were taken in and turns scored: 0 where nothing changed."""
        self._follow_projects()
        drained = drain(store, self.paths.spool, decode=decode, suggest=survival.suggestions_of, now=now)
        for turn_id in feedback.unclassified_turns(store):
            self._classify(store, turn_id)
        for seen in self.watcher.poll():
            self._observe(store, seen, now)
        survival.settle(store, self.settings.capture, now)
        for project in self._projects:
            outcome.apply_outcomes(store, str(project), now)
        dirty = feedback.dirty_turns(store)
        for turn_id in dirty:
            feedback.save_score(store, quality.score_turn(store, turn_id, self.settings, now))
        return drained.count + len(dirty)

    def _observe(self, store: Store, seen: FileSaved | Committed, now: float) -> None:
        if isinstance(seen, FileSaved):
            survival.on_saved(store, seen, self.watcher.history(seen.path), self.settings.capture, now)
        else:
            on_committed(store, seen, self.settings.capture, now)

    def _classify(self, store: Store, turn_id: str) -> None:
        turn = turns.load_turn(store, turn_id)
        classes = classify.classify(turn)
        feedback.save_classes(store, turn_id, classes.learning_type, classes.complexity, classes.domain, classes.tools)

    def _follow_projects(self) -> None:
        try:
            changed = self.paths.projects.stat().st_mtime
        except FileNotFoundError:
            return
        if changed == self._projects_mtime:
            return
        self._projects_mtime = changed
        wanted = tuple(p for p in load_projects(self.paths) if p.is_dir())
        for project in wanted:
            if project not in self._projects:
                self.watcher.add(project)
        for project in self._projects:
            if project not in wanted:
                self.watcher.remove(project)
        self._projects = wanted
