"""What `qi-learn status` counts, in the spool and in the database; nothing if there is none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qi_learn.cycle import trigger
from qi_learn.deploy.journal import Deployment
from qi_learn.deploy.taint import runs_trained_on
from qi_learn.paths import Paths
from qi_learn.records import Decision
from qi_learn.rundir.directory import run_directories
from qi_learn.settings import Settings
from qi_learn.spool import spool_files
from qi_learn.store.candidates import left_out
from qi_learn.store.client_rates import ClientRates, client_rates
from qi_learn.store.database import open_store
from qi_learn.store.events import sent_again

NOTHING_YET = Decision(False, "nothing was recorded yet")


def known_clients(paths: Paths) -> tuple[ClientRates, ...]:
    """What became of the newest suggestions, by the program that asked."""
    if not paths.database.exists():
        return ()
    with open_store(paths.database, readonly=True) as store:
        return client_rates(store)


def turns_left_out(paths: Paths, settings: Settings) -> dict[str, int]:
    """Turns over the quality threshold that can be no example, by reason."""
    if not paths.database.exists():
        return {}
    with open_store(paths.database, readonly=True) as store:
        return left_out(store, threshold=settings.train.quality_threshold)


def waiting_files(spool: Path) -> tuple[int, int]:
    """The number of files in the spool, and their bytes."""
    sizes = []
    for file in spool_files(spool):
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:
            continue  # drained just now
    return len(sizes), sum(sizes)


def left_out_again(paths: Paths, since: Any) -> int:
    """How many turns of this gateway the daemon left out, as they sent what was left out before."""
    if not isinstance(since, int | float) or not paths.database.exists():
        return 0
    with open_store(paths.database, readonly=True) as store:
        return sent_again(store, float(since))


def learning(
    paths: Paths, settings: Settings, deployment: Deployment | None
) -> tuple[int, int, int, Decision]:
    """Turns, ratings of them, ratings of none of them, and whether it is time to learn."""
    if not paths.database.exists():
        return 0, 0, 0, NOTHING_YET
    with open_store(paths.database, readonly=True) as store:
        turns, ratings, unmatched = (
            int(store.rows(f"SELECT count(*) FROM {rows}")[0][0])
            for rows in ("turns", "ratings", "ratings WHERE turn_id IS NULL")
        )
        learned = runs_trained_on(deployment) if deployment else ()
        busy = any(not run.ended for run in run_directories(paths.runs))
        return (
            turns,
            ratings - unmatched,
            unmatched,
            trigger.decide(store, settings, learned_runs=learned, now=time.time(), busy=busy),
        )
