"""Versions that saw what was forgotten since: marked, and passed over if that is asked for.

Text cannot be searched for in weights, nor taken out of them. So a version whose data set, or that
of a version it was trained on top of, held a forgotten turn is marked for good; the marks are kept
by run, in the journal. With `retrain` the next cycle starts from the newest version without one.
What is live stays live until another passes the gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from qi_learn.deploy.journal import (
    Deployment,
    require_live,
    runs_behind,
    update,
)
from qi_learn.paths import Paths


def forgotten_in(deployment: Deployment, version: str) -> int:
    """The number of forgotten turns in the data sets behind a version."""
    runs = runs_behind(deployment, version)
    return len({turn for run in runs for turn in deployment.forgot.get(run, ())})


def trains_from(deployment: Deployment) -> str:
    """The version that the next cycle starts from.

    The live one; if it saw what is forgotten and `retrain` is set, the newest before it that did
    not and whose model is still there. The base saw nothing.
    """
    if not deployment.retrain:
        return deployment.live
    at: str | None = deployment.live
    while at is not None:
        if not forgotten_in(deployment, at) and at not in deployment.retired:
            return at
        at = deployment.release(at).parent
    return deployment.live


def runs_trained_on(deployment: Deployment) -> tuple[str, ...]:
    """The runs behind the version that the next cycle starts from, oldest first."""
    return runs_behind(deployment, trains_from(deployment))


def mark_runs(paths: Paths, seen: Mapping[str, Iterable[str]], *, retrain: bool) -> Deployment:
    """Write down which forgotten turns (ids) each run saw, beside those that are written down.

    Raises NotFound if nothing is live yet.
    """

    def marked(journal: Deployment | None) -> Deployment:
        deployment = require_live(journal)
        forgot = {run: sorted(turns) for run, turns in deployment.forgot.items()}
        for run, turns in seen.items():
            forgot[run] = sorted({*forgot.get(run, ()), *turns})
        return replace(deployment, forgot=forgot, retrain=retrain or deployment.retrain)

    return update(paths, marked)
