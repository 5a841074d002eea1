"""Letting what is old expire, in slices: a round of the daemon is never held up by it.

What goes is overwritten, but in the WAL: the database's file, and pages in the WAL that came
before, have it until the WAL is emptied. That is done when a run of slices ends, at least once a
minute while it lasts, and again each minute as long as a reader is in the way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qi_learn.deploy.journal import load_deployment, runs_behind
from qi_learn.errors import NotFound, QiError
from qi_learn.paths import Paths
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.forget_examples import expire_data_set
from qi_learn.settings import KeepSettings
from qi_learn.store import expiry
from qi_learn.store.database import Store
from qi_learn.store.disk_use import used_bytes
from qi_learn.store.events import expire_events
from qi_learn.store.forget import empty_wal
from qi_learn.store.strays import STRAY_SECONDS, stray_turns

logger = logging.getLogger(__name__)
ROUND_SECONDS = 0.006
"""How long a slice goes on taking turns; with the last one it stays below 20 ms."""
LOOK_SECONDS = 60.0
"""Seconds between two looks when nothing was old."""
SWEEP_SECONDS = 6 * 3600.0
"""Seconds between two looks at what only many turns together tell: shapes and data sets."""
READER_MS = 10
"""How long a reader of the database is waited for, ms."""
SWEPT_AT_ONCE = 500
"""Turns that such a look goes back in each of the others: so a minute costs the same, however long
the history is. It takes half a day through half a million, if a shape is named by the oldest only.
"""
DAY = 86400.0
GB = 1e9


class Expiring:
    """Takes away what is older than `[keep]` says."""

    def __init__(
        self, paths: Paths, keep: KeepSettings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = paths
        self._keep = keep
        self._monotonic = monotonic
        self._due = self._sweep_due = self._empty_due = float("-inf")
        self._remains = False
        """Whether something went of which the WAL may have the text."""
        self._sweep: expiry.ShapeSweep | None = None
        self._data_sets: list[RunDirectory] = []

    def begin_anew(self) -> None:
        """Break off a pass over shapes; rows went of which it knows the numbers."""
        self._sweep = None

    def tick(self, store: Store, now: float) -> bool:
        """Do a slice if it is time; whether there is more to do."""
        if self._monotonic() < self._due:
            return False
        over = self._monotonic() + ROUND_SECONDS
        before = store.conn.total_changes
        more = (
            self._strays(store, now, over)
            or self._turns(store, now, over)
            or self._sweeping(store, now)
        )
        self._remains |= store.conn.total_changes != before
        if self._remains and (not more or self._monotonic() >= self._empty_due):
            self._remains = not empty_wal(store, READER_MS)
            self._empty_due = self._monotonic() + LOOK_SECONDS
        self._due = self._monotonic() + (0.0 if more else LOOK_SECONDS)
        return more

    def _strays(self, store: Store, now: float, over: float) -> bool:
        """Take the texts away of what is of no project after a day; whether there is more."""
        before = now - STRAY_SECONDS
        while turns := stray_turns(store, before, expiry.AT_ONCE):
            expiry.expire_texts(store, turns, now)
            if self._monotonic() > over:
                return True
        return False

    def _turns(self, store: Store, now: float, over: float) -> bool:
        keep = self._keep
        if keep.scores_days:
            while turns := expiry.old_turns(store, now - keep.scores_days * DAY):
                expiry.expire_turns(store, turns)
                if self._monotonic() > over:
                    return True
        if keep.raw_days:
            before = now - keep.raw_days * DAY
            while turns := expiry.old_texts(store, before):
                expiry.expire_texts(store, turns, now)
                if self._monotonic() > over:
                    return True
            if expiry.expire_commands(store, before) or expire_events(store, now, before, 50):
                return True
        while keep.size_gb and used_bytes(store) > keep.size_gb * GB:
            if not (turns := expiry.old_texts(store, now)):
                break  # numbers alone are more than that
            expiry.expire_texts(store, turns, now)
            if self._monotonic() > over:
                return True
        return False

    def _sweeping(self, store: Store, now: float) -> bool:
        """Go on with the pass over shapes and data sets, or begin it if it is time."""
        if self._sweep is None and not self._data_sets:
            if self._monotonic() < self._sweep_due:
                return False
            self._sweep_due = self._monotonic() + SWEEP_SECONDS
            self._sweep, self._data_sets = expiry.ShapeSweep(), self._old_data_sets(now)
        if self._data_sets:
            run = self._data_sets.pop()
            with suppress(OSError):
                if expire_data_set(run):
                    logger.info("run %s: the texts of its data set have expired", run.run_id)
            return True
        if self._sweep is not None and not self._sweep.go_on(store, turns=SWEPT_AT_ONCE):
            self._sweep = None
        return self._sweep is not None and not self._sweep.looks

    def _old_data_sets(self, now: float) -> list[RunDirectory]:
        """Ended runs that are old, and behind no version whose model is still there."""
        if not self._keep.raw_days:
            return []
        needed: set[str] = set()
        try:
            deployment = load_deployment(self._paths)
            for release in deployment.available:
                needed |= set(runs_behind(deployment, release.version))
        except NotFound:
            pass
        except QiError as error:
            logger.warning("no data set expires: %s", error.what)
            return []
        before = now - self._keep.raw_days * DAY
        return [
            run
            for run in run_directories(self._paths.runs)
            if run.run_id not in needed and _ended(run.outcome) < before
        ]


def _ended(outcome: Path) -> float:
    try:
        return outcome.stat().st_mtime
    except OSError:
        return float("inf")  # it is under way
