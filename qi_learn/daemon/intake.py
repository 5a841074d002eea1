"""Evidence into the store, in rounds.

A round drains the spool, follows suggestions in files and commits, applies outcomes, and scores
what changed.

This is the only code that writes the database. `tick` is one round. It is idempotent, so that a
daemon killed in the middle of one loses nothing: what was not taken in is still in the spool, and
what was not scored is still marked.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.capture import outcome
from qi_learn.capture.wire import decode
from qi_learn.codec import plain
from qi_learn.errors import DiskFull, QiError, SettingsError, StoreError
from qi_learn.paths import Paths
from qi_learn.records import Event, Score, Turn
from qi_learn.records.watching import WatchState
from qi_learn.score import classify, suggestion_score
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.followed import load_due, load_followed, save_changes
from qi_learn.store.ingest import DrainMemory, drain
from qi_learn.track.commits import on_committed
from qi_learn.track.state import FOLLOWED
from qi_learn.track.suggestions import suggestions_of
from qi_learn.track.survival import LOOK_SECONDS, on_saved, settle
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.project_context import Contexts
from qi_learn.workspace.registry import load_projects
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
NOT_UNDERSTOOD = (
    *(ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError),
)
"""What code may raise over data of unforeseen form."""


@dataclass(slots=True)
class Intake:
    """Takes evidence in, round by round. It holds the watcher; everything else is in the store."""

    paths: Paths
    settings: Settings
    watcher: Watcher
    edited: float = float("-inf")
    """When a change in a watched project was last seen."""
    wait: bool = True
    """Whether a round waits until a new project is read; else that is done meanwhile."""
    _projects: list[Path] = field(default_factory=list)
    _listed: tuple[Path, ...] = ()
    _registered_at: int = -1
    _seen: deque[FileSaved | Committed] = field(default_factory=deque)
    _contexts: Contexts = field(default_factory=Contexts)
    _memory: DrainMemory | None = None

    def watch_anew(self, watcher: Watcher) -> None:
        """Go on with another watcher: every project is read and watched again."""
        ended, self.watcher = self.watcher, watcher
        self._projects.clear()
        try:
            ended.close()
        except (OSError, RuntimeError) as error:  # it has ended in part already
            logger.warning("the watcher before could not be closed: %s", error)

    def watching(self) -> tuple[WatchState, ...]:
        """How every registered project is watched; any thread may ask."""
        known = {state.project: state for state in self.watcher.states()}
        return tuple(known.get(str(p)) or WatchState(str(p), "starting") for p in self._listed)

    def tick(self, store: Store, now: float) -> int:
        """Do one round; returns how many events were taken in and turns scored.

        0 if nothing changed.
        """
        self._follow_projects()
        # before the drain: a turn is in the spool before its answer can be saved in a file
        if seen := self.watcher.poll():
            self._seen.extend(seen)
            self.edited = now
        self._memory = self._memory or DrainMemory(store)
        drained = drain(
            store,
            self.paths.spool,
            decode=self._decode,
            suggest=suggestions_of,
            now=now,
            memory=self._memory,
        )
        for turn_id in feedback.unclassified_turns(store):
            self._classify(store, turn_id)
        self._take_in_seen(store, now)
        follow_time(store, self.settings.capture, now)
        for project in self._projects:
            outcome.apply_outcomes(store, str(project), now)
        dirty = feedback.dirty_turns(store)
        for turn_id in dirty:
            self._score(store, turn_id, now)
        return drained.count + len(dirty)

    def _decode(self, event: Event) -> Turn:
        """The turn, with the context of its project as it was then.

        It has the context (R2's projectContext and codebaseSnapshot) if the project is known and
        its directory is there.
        """
        turn = decode(event)
        if turn.project is None or not os.path.isdir(turn.project):
            return turn
        try:
            context = self._contexts.of(Path(turn.project))
        except (QiError, OSError) as error:
            logger.warning("the context of %s cannot be read: %s", turn.project, error)
            return turn
        return replace(turn, context=plain(context), commit=context.commit)

    def _take_in_seen(self, store: Store, now: float) -> None:
        """Follow saves and commits, in order.

        The watcher reports each once: if the database cannot be written now, the rest waits here.
        """
        while self._seen:
            try:
                self._observe(store, self._seen[0], now)
            except (StoreError, DiskFull):
                raise
            except (QiError, OSError) as error:
                logger.warning("what was seen in %s is left out: %s", self._seen[0].project, error)
            self._seen.popleft()

    def _observe(self, store: Store, seen: FileSaved | Committed, now: float) -> None:
        if isinstance(seen, FileSaved):
            history = self.watcher.history(seen.path)
            follow_save(store, seen, history, self.settings.capture, now)
        else:
            follow_commit(store, seen, self.settings.capture, now)

    def _classify(self, store: Store, turn_id: str) -> None:
        turn = turns.load_turn(store, turn_id)
        try:
            classes = classify.classify(turn)
        except NOT_UNDERSTOOD:
            logger.exception("turn %s cannot be classified", turn_id)
            classes = classify.Classes("problem_solving", "simple", "general", ())
        feedback.save_classes(
            store, turn_id, classes.learning_type, classes.complexity, classes.domain, classes.tools
        )

    def _score(self, store: Store, turn_id: str, now: float) -> None:
        """Score a turn.

        One that cannot be scored is set aside until its evidence changes: it must not keep the
        others waiting.
        """
        try:
            score = suggestion_score.score_turn(store, turn_id, self.settings, now)
        except NOT_UNDERSTOOD as error:
            logger.exception("turn %s cannot be scored", turn_id)
            score = Score(
                turn_id, None, 0.0, None, None, (), (f"could not be scored: {error}",), now
            )
        feedback.save_score(store, score)

    def _follow_projects(self) -> None:
        """Watch the directories that are registered and there.

        One that cannot be watched is reported once, and keeps nothing else waiting.
        """
        # os.path.isdir never raises, unlike Path.is_dir
        registered = [p for p in self._registered() if os.path.isdir(p)]
        for project in [p for p in self._projects if p not in registered]:
            self._projects.remove(project)
            self.watcher.remove(project)
        for project in [p for p in registered if p not in self._projects]:
            self._projects.append(project)
            try:
                self.watcher.add(project, wait=self.wait)
            except (QiError, OSError) as error:
                logger.warning("%s is not watched: %s", project, error)

    def _registered(self) -> tuple[Path, ...]:
        try:
            changed = self.paths.projects.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        if changed != self._registered_at:
            self._registered_at = changed
            try:
                self._listed = load_projects(self.paths)
            except SettingsError as error:
                logger.warning("the projects watched stay as they were: %s", error)
        return self._listed


# --- following suggestions: load once, compute, write once ----------------------------------------


def follow_save(
    store: Store, saved: FileSaved, history: FileHistory, settings: CaptureSettings, now: float
) -> None:
    """Store what a save made of the suggestions that may stand in the file.

    Raises StoreError if the database cannot be written.
    """
    window = saved.ts - settings.window
    tracked = load_followed(
        store, saved.project, placed=now - FOLLOWED, ended=window, file=saved.file
    )
    save_changes(store, on_saved(tracked, saved, history, settings, now))


def follow_commit(
    store: Store, committed: Committed, settings: CaptureSettings, now: float
) -> None:
    """Store what a move of HEAD made of the suggestions that were placed in the project.

    Raises StoreError if the database cannot be written.
    """
    tracked = load_followed(store, committed.project, placed=now - FOLLOWED)
    save_changes(store, on_committed(tracked, committed, settings, now))


def follow_time(store: Store, settings: CaptureSettings, now: float) -> None:
    """Store what time made of the suggestions, in every project.

    Raises StoreError if the database cannot be written.
    """
    tracked = load_due(
        store,
        now,
        settle=settings.settle,
        window_end=now - settings.window,
        looked_at=now - LOOK_SECONDS,
    )
    save_changes(store, settle(tracked, settings, now))
