"""Evidence into the store, in rounds.

A round drains the spool, follows suggestions in files and commits, applies outcomes, and scores
what changed.

This is the only code that writes the database. `tick` is one round. It is idempotent, so that a
daemon killed in the middle of one loses nothing: what was not taken in is still in the spool, and
what was not scored is still marked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qi_learn.capture.told_in_requests import outcomes_told
from qi_learn.capture.wire import decode
from qi_learn.daemon.agent_logs import AgentLogs
from qi_learn.daemon.background import Background, Done, Key
from qi_learn.daemon.classifying import Classifying
from qi_learn.daemon.contexts import KIND as CONTEXT
from qi_learn.daemon.contexts import TurnContexts
from qi_learn.daemon.editor_files import told_here
from qi_learn.daemon.following import time_due
from qi_learn.daemon.look_through import PAUSE_SECONDS, RedactAgain
from qi_learn.daemon.projects import FollowedProjects
from qi_learn.daemon.retry_pause import RetryPause
from qi_learn.daemon.scoring import Scoring
from qi_learn.daemon.seen_evidence import SeenEvidence
from qi_learn.daemon.standing import Standing
from qi_learn.daemon.surviving import LINES, Surviving
from qi_learn.daemon.taken_back import drop_taken_back
from qi_learn.errors import QiError
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.paths import Paths
from qi_learn.records import Event, SetAside, Turn
from qi_learn.records.watching import WatchState
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.score.names_index import NamesIndex
from qi_learn.settings import Settings
from qi_learn.spool import look_of
from qi_learn.step_guard import StepGuard
from qi_learn.store.carry_over import carry_over, newest_end
from qi_learn.store.database import VALUE_ERRORS, Store
from qi_learn.store.event_intake import DrainMemory
from qi_learn.store.ingest import drain
from qi_learn.track.heard import words_for
from qi_learn.track.suggestions import suggestions_of
from qi_learn.workspace.clock_watch import JUMP_SECONDS, ClockWatch
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
SPOOL_SECONDS = (5.0, 60.0)
"""Least and most seconds until the spool is looked at though nothing in it changed: in between when
a file's time comes. Leftovers are swept then too.
"""
ROUND_SECONDS = 0.02
"""How long one round classifies and scores; the rest waits for the next."""


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
    monotonic: Callable[[], float] = time.monotonic
    """By which it pauses after a round that failed."""
    _found: list[Done] = field(default_factory=list)
    _memory: DrainMemory | None = None
    _spool: frozenset[tuple[str, int, int]] | None = None
    _spool_due: float = 0.0
    _time_due: float = float("-inf")
    _begun: bool = False
    _seen: SeenEvidence = field(init=False)
    _standing: Standing = field(init=False)
    _background: Background = field(init=False)
    _projects: FollowedProjects = field(init=False)
    _contexts: TurnContexts = field(init=False)
    _classifying: Classifying = field(init=False)
    _scoring: Scoring = field(init=False)
    _surviving: Surviving = field(init=False)
    _pause: RetryPause = field(init=False)
    _pauses: PauseFile = field(init=False)
    _again: RedactAgain = field(init=False)
    _logs: AgentLogs = field(init=False)

    def __post_init__(self) -> None:
        self._background = Background("qi-learn-facts", lambda: self.wake())
        self._pauses = PauseFile(self.paths.pause, mark=boot_clock)
        self._standing = Standing(self.paths.stood)
        self._projects = FollowedProjects(self.paths, self.guard, self._standing, wait=self.wait)
        self._contexts = TurnContexts(self._background, self.guard)
        self._classifying = Classifying(self.guard)
        index = NamesIndex(self.paths.names)
        self._scoring = Scoring(self.settings.score, index, self._background, self.guard)
        self._surviving = Surviving(self._background, self.guard)
        disks = self.paths.database.parent, self.paths.spool
        self._pause = RetryPause(disks, self.monotonic)
        self._again = RedactAgain(self.paths)
        self._logs = AgentLogs(self.paths, lambda: self.wake())
        self._seen = SeenEvidence(self.guard, self._paused, lambda: self._again.behind)

    def watch_anew(self, watcher: Watcher) -> None:
        """Go on with another watcher: every project is read and watched again."""
        ended, self.watcher = self.watcher, watcher
        self._projects.follow_anew()
        try:
            ended.close()
        except (OSError, RuntimeError) as error:  # it has ended in part already
            logger.warning("the watcher before could not be closed: %s", error)

    def watching(self) -> tuple[WatchState, ...]:
        """How every registered project is watched; any thread may ask."""
        return self._projects.watching(self.watcher)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What could not be understood and was left out, by kind."""
        return self.guard.set_aside

    @property
    def pending(self) -> bool:
        """Whether a round has something to do now, or waits for the thread that finds facts."""
        evidence = bool(self._seen) or self._classifying.left or self._scoring.pending
        return evidence or self._again.left

    def close(self) -> None:
        """End what goes on beside the rounds; keep up to where the projects were watched."""
        self._background.close()
        self._logs.close()
        try:
            self._keep_standing(time.time(), at_once=True)
        except OSError as error:  # the next daemon looks further back
            logger.warning("where the projects stand was not written: %s", error)

    def let_go(self) -> None:
        """Remember nothing of what was taken in, and look at the spool again at once."""
        self._memory, self._spool = None, None
        self._seen.forget_sketches()

    def next_due(self, now: float) -> float:
        """Seconds until a round has something to do, if nothing new comes before; 0 is at once.

        New is a line in the spool, a save or a commit, or `wake`. After rounds that failed it is
        the pause.
        """
        if self._pause.failed:
            return self._pause.seconds_left
        if self._seen or self._classifying.left or self._scoring.left:
            return 0.0
        due = max(0.0, min(self._spool_due - time.monotonic(), self._time_due - now))
        due = min(due, max(0.0, self._surviving.due - now))
        return min(due, PAUSE_SECONDS) if self._again.left else due

    def look(self, now: float) -> bool:
        """Take over what the watcher has seen; whether something can be followed now."""
        if seen := self.watcher.poll():
            self._seen.add(seen)
            self.edited = now
        return bool(self._seen) and not self._pause.seconds_left

    def tick(self, store: Store, now: float) -> int:
        """Do one round; returns how many events were taken in and turns classified or scored.

        0 if nothing changed. What is not due is not asked for, and what takes long goes on in the
        next round. A round that fails is made again at once, then after a pause, in which its
        failure is raised again.
        """
        self._projects.follow(self.watcher)
        # before the drain: a turn is in the spool before its answer can be saved in a file
        self.look(now)
        with self._pause.attempt():
            return self._round(store, now)

    def _round(self, store: Store, now: float) -> int:
        self._follow_clock(store, now)
        self._logs.go_on()
        drained = self._drain(store, now)
        changed = self._begin(store) or drained > 0 or bool(self._seen)
        news = bool(self._seen or self._projects.behind)
        self._seen.take_in(store, self.watcher, self.settings.capture, now)
        if self._standing.due(news=news):
            with self.guard.step("standing", str(self.paths.stood), OSError):
                self._keep_standing(now)
        over = time.monotonic() + ROUND_SECONDS
        done = drained
        if self._classifying.left:
            done += self._classifying.classify(store, over)
            self._scoring.left = True
        if changed or now >= self._time_due:
            self._seen.follow_time(store, self.settings.capture, now)
            self._time_due = time_due(store, self.settings.capture, now)
            self._surviving.look_again()
            self._scoring.look_again()
        if now >= self._surviving.due:
            self._surviving.count(store, now, self._seen.clean(store))
        self._fetch(store, now)
        self._scoring.hold(self._projects.behind)
        if self._scoring.left:
            done += self._scoring.score(store, now, over)
        if not done and not changed and self._again.step(store, now):
            self._seen.forget_sketches()
            self._scoring.left = self._scoring.left or not self._again.left
        return done

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
            self._classifying.look_again()
            with self.guard.step("data set", str(self.paths.runs), QiError, OSError):
                drop_taken_back(self.paths, store)
        return first

    def _drain(self, store: Store, now: float) -> int:
        """Take in what is new in the spool; how many events that were."""
        spool = self._look_of_spool()
        if spool is not None and spool == self._spool and time.monotonic() < self._spool_due:
            return 0
        self._memory = self._memory or DrainMemory(store, paused=self._pauses.between)
        self._spool = None  # until it is done: a round that fails is done again
        drained = drain(
            store,
            self.paths.spool,
            decode=self._decode,
            suggest=suggestions_of,
            say=words_for,
            outcomes=self._told,
            ran=outcomes_told,
            now=now,
            memory=self._memory,
        )
        if drained.turns:
            self._classifying.look_again()
        if drained.heard:
            self._seen.forget_sketches()
        self._spool = spool
        left = self._memory.files.seconds_left()
        wait = SPOOL_SECONDS[1] if left is None else left
        self._spool_due = time.monotonic() + min(max(wait, SPOOL_SECONDS[0]), SPOOL_SECONDS[1])
        return drained.count

    def _look_of_spool(self) -> frozenset[tuple[str, int, int]] | None:
        """What lies in the spool; None if a file went meanwhile: then it is taken in."""
        try:
            return look_of(self.paths.spool)
        except OSError:
            return None

    def _fetch(self, store: Store, now: float) -> None:
        """Store what the thread found out; what cannot be stored now is kept for the next round."""
        self._found += self._background.results()
        facts: dict[Key, Any] = {}
        for each in self._found:
            found = each.value if each.error is None else each.error
            if each.key[0] == CONTEXT:
                self._give_context(store, each.key[1], found)
            elif each.key[0] == LINES:
                self._surviving.keep(store, each)
            else:
                facts[each.key] = found
        self._scoring.keep_facts(store, facts, now)
        self._found.clear()

    def _give_context(self, store: Store, project: str, found: Any) -> None:
        self._memory = self._memory or DrainMemory(store, paused=self._pauses.between)
        if self._contexts.keep(store, project, found, self._memory.redactor):
            self._classifying.look_again()

    def _told(self, event: Event) -> tuple[Event, ...]:
        return told_here(self.paths, event, self._logs.note)

    def _decode(self, event: Event) -> Turn:
        """The turn, with the context of its project as it was then.

        It has the context (R2's projectContext and codebaseSnapshot) if the project is known and
        its directory is there. What comes from a log of other days has none: that of now is not
        what it was.
        """
        turn = decode(event)
        if turn.context or "imported" in turn.request:
            return turn
        if turn.project is None or not self._projects.hold(turn.project):
            return turn
        with self.guard.step(CONTEXT, turn.project, QiError, OSError):
            return self._contexts.give(turn)
        return turn

    def _keep_standing(self, now: float, *, at_once: bool = False) -> None:
        """Keep up to where the projects were watched of which all that was seen is taken in."""
        stands = self.watcher.stands()
        self.look(now)  # what came in between is not taken in either
        behind = self._seen.projects
        stands = {root: stood for root, stood in stands.items() if root not in behind}
        self._projects.caught_up(stands)
        whole = len(stands) == self._projects.count
        self._standing.keep(stands, whole=whole, at_once=at_once)

    def _paused(self, ts: float) -> bool:
        """Whether recording was paused at a time."""
        return self._pauses.at(ts) is not None
