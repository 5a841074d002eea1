"""Being the daemon for a short while, without its servers: for a command when no daemon runs.

The lock is held and what waits in the spool is taken in; nothing is watched, scored or learned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from qi_learn.capture.wire import decode
from qi_learn.daemon.editor_files import told_here
from qi_learn.daemon.forgetting import Forgetting, abandon
from qi_learn.daemon.lock import take_lock
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.paths import Paths
from qi_learn.records import ForgetRequest, Receipt
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.store.database import Store, open_store
from qi_learn.store.event_intake import DrainMemory
from qi_learn.store.ingest import drain
from qi_learn.track.heard import words_for
from qi_learn.track.suggestions import suggestions_of

LOOK_SECONDS = 0.2


class TakingIn:
    """Takes in what comes through the spool."""

    def __init__(self, paths: Paths, store: Store) -> None:
        self._paths = paths
        self._store = store
        self._pauses = PauseFile(paths.pause, mark=boot_clock)
        self._memory = DrainMemory(store, paused=self._pauses.between)

    def now(self) -> None:
        """Take in everything that waits."""
        drain(
            self._store,
            self._paths.spool,
            decode=decode,
            suggest=suggestions_of,
            say=words_for,
            outcomes=partial(told_here, self._paths),
            now=time.time(),
            memory=self._memory,
        )

    def let_go(self) -> None:
        """Remember nothing of it."""
        self._memory = DrainMemory(self._store, paused=self._pauses.between)


@contextmanager
def alone(paths: Paths) -> Iterator[Store]:
    """The database, open to write, while this process holds the daemon's lock.

    Raises DaemonError if there is a daemon, StoreError.
    """
    lock = take_lock(paths)
    try:
        with open_store(paths.database) as store:
            yield store
    finally:
        os.close(lock)


def forget_alone(paths: Paths, request: ForgetRequest) -> tuple[Receipt, tuple[str, ...]]:
    """Forget in this process; the receipt, and a few of the texts to search for.

    What an earlier one left is completed first. Raises NotFound, DaemonError, StoreError, DiskFull.
    """
    with alone(paths) as store:
        taking_in = TakingIn(paths, store)
        forgetting = _forgetting(paths, taking_in)
        taking_in.now()
        forgetting.resume()
        left = forgetting.job.request if forgetting.busy else None
        receipt = _finish(forgetting, store, taking_in)
        if receipt and left and replace(left, asked=request.asked) == request:
            return receipt, ()  # the same again, after a kill
        forgetting.begin(store, request)
        receipt = _finish(forgetting, store, taking_in)
    assert receipt is not None
    return receipt, forgetting.texts


def complete_forgetting(paths: Paths, store: Store) -> None:
    """Do to its end what a process that was killed was forgetting, if there is such a thing.

    Raises StoreError, DiskFull.
    """
    taking_in = TakingIn(paths, store)
    forgetting = _forgetting(paths, taking_in)
    forgetting.resume()
    _finish(forgetting, store, taking_in)


def _forgetting(paths: Paths, taking_in: TakingIn) -> Forgetting:
    return Forgetting(paths, cancel=lambda run: abandon(paths, run), taken_away=taking_in.let_go)


def _finish(forgetting: Forgetting, store: Store, taking_in: TakingIn) -> Receipt | None:
    """Do a job to its end; None if there is none."""
    while forgetting.busy:
        if (receipt := forgetting.go_on(store, time.time())) is not None:
            return receipt
        taking_in.now()
        time.sleep(LOOK_SECONDS)
    return None
