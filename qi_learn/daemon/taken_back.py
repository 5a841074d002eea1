"""Rejections that were taken back, in the data set of a run that has not ended.

An upgrade may find that what an older version called rejected has no sign of it. A run that was
frozen before and goes on would train against it. What a run that ended was trained on stays as it
was: it says what its version learned.
"""

from __future__ import annotations

import logging

from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.rundir.forget_examples import drop_rejects, rejects_in
from qi_learn.store.database import Store
from qi_learn.store.feedback import rejected_turns

logger = logging.getLogger(__name__)


def drop_taken_back(paths: Paths, store: Store) -> None:
    """Take what is no rejection any more out of the data sets of runs that have not ended.

    Raises StoreError if the manifest of one is damaged, OSError if it cannot be written.
    """
    open_runs = [run for run in run_directories(paths.runs) if not run.ended]
    listed = {run.run_id: rejects for run in open_runs if (rejects := rejects_in(run))}
    if not listed:
        return
    rejected = set(rejected_turns(store))
    for run in open_runs:
        gone = listed.get(run.run_id, set()) - rejected
        if gone and (dropped := drop_rejects(run, gone)):
            logger.info("%d pairs of %s are no rejections any more", dropped, run.run_id)
