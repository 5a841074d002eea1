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
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.capture.wire import decode
from qi_learn.codec import plain
from qi_learn.daemon.background import Background
from qi_learn.daemon.following import follow_commit, follow_save, follow_time, time_due
from qi_learn.daemon.scoring import Scoring
from qi_learn.errors import DiskFull, QiError, SettingsError, StoreError
from qi_learn.paths import Paths
from qi_learn.records import Event, SetAside, Turn
from qi_learn.records.watching import WatchState
from qi_learn.score import classify
from qi_learn.score.names_index import NamesIndex
from qi_learn.settings import Settings
from qi_learn.spool import look_of
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback, turns
from qi_learn.store.carry_over import carry_over, newest_end
from qi_learn.store.database import VALUE_ERRORS, Store
from qi_learn.store.ingest import DrainMemory, drain
from qi_learn.track.suggestions import suggestions_of
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.clock_watch import JUMP_SECONDS, ClockWatch
from qi_learn.workspace.project_context import Contexts
from qi_learn.workspace.registry import load_projects
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
SPOOL_SECONDS = (5.0, 60.0)
"""How often the spool is looked at though nothing in it changed, with files in it and without: a
producer may have ended, a file's time may have come, leftovers are swept.
"""
SEEN_SECONDS = 0.2
"""How long one round follows saves and commits; the rest waits for the next."""


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
    wake: Callable[[], None] = lambda: None
    """Called, from another thread, when a round has something to do."""
    guard: StepGuard = field(default_factory=lambda: StepGuard(also=VALUE_ERRORS))
    clock: ClockWatch = field(default_factory=ClockWatch)
    _projects: list[Path] = field(default_factory=list)
    _listed: tuple[Path, ...] = ()
    _registered_at: int = -1
    _seen: deque[FileSaved | Committed] = field(default_factory=deque)
    _contexts: Contexts = field(default_factory=Contexts)
    _memory: DrainMemory | None = None
    _spool: frozenset[tuple[str, int, int]] | None = None
    _spool_due: float = 0.0
    _time_due: float = float("-inf")
    _begun: bool = False
    _background: Background = field(init=False)
    _scoring: Scoring = field(init=False)

    def __post_init__(self) -> None:
        self._background = Background("qi-learn-facts", lambda: self.wake())
        index = NamesIndex(self.paths.names)
        self._scoring = Scoring(self.settings.score, index, self._background, self.guard)

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

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What could not be understood and was left out, by kind."""
        return self.guard.set_aside

    @property
    def pending(self) -> bool:
        """Whether a round has something to do now, or waits for the thread that finds facts."""
        return bool(self._seen) or self._scoring.pending

    def close(self) -> None:
        """End the thread that finds facts."""
        self._background.close()

    def next_due(self, now: float) -> float:
        """Seconds until a round has something to do, if nothing new comes before; 0 is at once.

        New is a line in the spool, a save or a commit, or `wake`.
        """
        if self._seen or self._scoring.left:
            return 0.0
        return max(0.0, min(self._spool_due - time.monotonic(), self._time_due - now))

    def tick(self, store: Store, now: float) -> int:
        """Do one round; returns how many events were taken in and turns scored.

        0 if nothing changed. What is not due is not asked for.
        """
        self._follow_projects()
        self._follow_clock(store, now)
        # before the drain: a turn is in the spool before its answer can be saved in a file
        if seen := self.watcher.poll():
            self._seen.extend(seen)
            self.edited = now
        drained = self._drain(store, now)
        changed = self._begin(store) or drained > 0 or bool(self._seen)
        self._take_in_seen(store, now)
        if changed or now >= self._time_due:
            follow_time(store, self.settings.capture, now, self.guard)
            self._time_due = time_due(store, self.settings.capture)
            self._scoring.look_again()
        self._fetch(store, now)
        if not self._scoring.left:
            return drained
        return drained + self._scoring.score(store, now)

    def _follow_clock(self, store: Store, now: float) -> None:
        """Carry the recent past over to a clock that was set, now or while no daemon ran."""
        jump = self.clock.jump(now)
        before = now - jump
        if not self._begun and (newest := newest_end(store) or 0.0) > now + JUMP_SECONDS:
            jump, before = now - newest, newest
        if not jump:
            return
        moved = carry_over(store, jump, before=before, window=self.settings.capture.window)
        logger.warning("the clock was set by %.0f s: %d answers are moved with it", jump, moved)
        self._time_due = float("-inf")

    def _begin(self, store: Store) -> bool:
        """Of the first round: take up what a process that was killed left undone."""
        first, self._begun = not self._begun, True
        if first:
            self._classify_new(store)
        return first

    def _drain(self, store: Store, now: float) -> int:
        """Take in what is new in the spool; how many events that were."""
        spool = self._look_of_spool()
        if spool is not None and spool == self._spool and time.monotonic() < self._spool_due:
            return 0
        self._memory = self._memory or DrainMemory(store)
        self._spool = None  # until it is done: a round that fails is done again
        drained = drain(
            store,
            self.paths.spool,
            decode=self._decode,
            suggest=suggestions_of,
            now=now,
            memory=self._memory,
        )
        if drained.turns:
            self._classify_new(store)
        self._spool = spool
        self._spool_due = time.monotonic() + SPOOL_SECONDS[1 if spool == frozenset() else 0]
        return drained.count

    def _look_of_spool(self) -> frozenset[tuple[str, int, int]] | None:
        """What lies in the spool; None if a file went meanwhile: then it is taken in."""
        try:
            return look_of(self.paths.spool)
        except OSError:
            return None

    def _fetch(self, store: Store, now: float) -> None:
        """Store what the thread found out."""
        done = {
            each.key: each.value if each.error is None else each.error
            for each in self._background.results()
        }
        self._scoring.keep_facts(store, done, now)

    def _decode(self, event: Event) -> Turn:
        """The turn, with the context of its project as it was then.

        It has the context (R2's projectContext and codebaseSnapshot) if the project is known and
        its directory is there.
        """
        turn = decode(event)
        if turn.project is None or not self._is_registered(turn.project):
            return turn
        with self.guard.step("context", turn.project, QiError, OSError):
            context = self._contexts.recent(Path(turn.project))
            return replace(turn, context=plain(context), commit=context.commit)
        return turn

    def _is_registered(self, project: str) -> bool:
        """Whether a directory is that of a registered project, or in it."""
        path = Path(project)
        return any(p == path or p in path.parents for p in self._projects)

    def _take_in_seen(self, store: Store, now: float) -> None:
        """Follow saves and commits, in order.

        The watcher reports each once: if the database cannot be written now, the rest waits here.
        """
        over = time.monotonic() + SEEN_SECONDS
        while self._seen and time.monotonic() < over:
            seen = self._seen[0]
            saved = isinstance(seen, FileSaved)
            name = seen.path if isinstance(seen, FileSaved) else f"{seen.project} {seen.commit}"
            try:
                with self.guard.step("save" if saved else "commit", name, OSError):
                    self._observe(store, seen, now)
            except (StoreError, DiskFull):
                raise
            except QiError as error:
                self.guard.note("save" if saved else "commit", name, error)
            self._seen.popleft()

    def _observe(self, store: Store, seen: FileSaved | Committed, now: float) -> None:
        if isinstance(seen, FileSaved):
            history = self.watcher.history(seen.path)
            follow_save(store, seen, history, self.settings.capture, now, self.guard)
        else:
            follow_commit(store, seen, self.settings.capture, now, self.guard)

    def _classify_new(self, store: Store) -> None:
        for turn_id in feedback.unclassified_turns(store):
            classes = classify.Classes("problem_solving", "simple", "general", ())
            with self.guard.step("classes", turn_id):
                classes = classify.classify(turns.load_turn(store, turn_id))
            feedback.save_classes(
                store,
                turn_id,
                classes.learning_type,
                classes.complexity,
                classes.domain,
                classes.tools,
            )

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
            with self.guard.step("project", project, QiError, OSError):
                self.watcher.add(project, wait=self.wait)

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
