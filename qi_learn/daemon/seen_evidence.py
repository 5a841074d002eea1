"""What the watcher saw, followed: saves and commits, those of one project in order.

The watcher reports each once, so what cannot be taken in now waits here, and its neighbours go on
if it cannot be understood. What is seen while recording is paused is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from qi_learn.daemon import following
from qi_learn.daemon.overlooking import overlook_seen
from qi_learn.daemon.seen_queue import Seen, SeenQueue
from qi_learn.errors import DiskFull, QiError, StoreError
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import Store
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.waiting import WaitingSketches
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher

SEEN_SECONDS = 0.05
"""How long one round follows saves and commits; the rest waits for the next."""


class SeenEvidence:
    """Saves and moves of HEAD that wait, and what following them remembers."""

    def __init__(
        self, guard: StepGuard, paused: Callable[[float], bool], behind: Callable[[], bool]
    ) -> None:
        """`paused`: whether recording was, at a time.

        `behind`: whether some of what is stored was not looked through by today's rules.
        """
        self._guard, self._paused, self._behind = guard, paused, behind
        self._queue = SeenQueue()
        self._sketches = WaitingSketches()
        self.texts: CleanTexts | None = None
        """What takes secrets out of the texts of files, and remembers those it has seen."""

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def projects(self) -> frozenset[str]:
        """Those in which something waits."""
        return self._queue.projects

    def add(self, seen: Iterable[Seen]) -> None:
        """Let what was seen wait, oldest first."""
        self._queue.extend(seen)

    def forget_sketches(self) -> None:
        """Look anew at what the suggestions say that wait: it may be less than before."""
        self._sketches = WaitingSketches()

    def take_in(
        self, store: Store, watcher: Watcher, settings: CaptureSettings, now: float
    ) -> None:
        """Follow what waits, for a moment; what is left waits for the next round.

        Raises StoreError or DiskFull if the database cannot be written: nothing is lost then.
        """
        over = time.monotonic() + SEEN_SECONDS
        while self._queue and time.monotonic() < over:
            seen = self._queue.first()
            kind = "save" if isinstance(seen, FileSaved) else "commit"
            name = seen.path if isinstance(seen, FileSaved) else f"{seen.project} {seen.commit}"
            try:
                with self._guard.step(kind, name, OSError):
                    self._follow(store, seen, watcher, settings, now)
            except (StoreError, DiskFull):
                raise
            except QiError as error:
                self._guard.note(kind, name, error)
            self._queue.drop()

    def follow_time(self, store: Store, settings: CaptureSettings, now: float) -> None:
        """Store what time made of the suggestions."""
        following.follow_time(store, settings, now, self._guard, self.clean(store))

    def _follow(
        self, store: Store, seen: Seen, watcher: Watcher, settings: CaptureSettings, now: float
    ) -> None:
        if self._paused(seen.ts):
            overlook_seen(store, seen, settings, now, self._guard)
            return
        guard, texts = self._guard, self.clean(store)
        if isinstance(seen, FileSaved):
            history, known = watcher.history(seen.path), self._sketches
            following.follow_save(store, seen, history, settings, now, guard, texts, known)
        else:
            following.follow_commit(store, seen, settings, now, guard, texts)

    def clean(self, store: Store) -> CleanTexts:
        """What takes secrets out of the texts of files."""
        self.texts = self.texts or following.clean_texts(store)
        self.texts.behind = self._behind()
        return self.texts
