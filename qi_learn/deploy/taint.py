"""Versions that saw what was forgotten since: marked, and passed over if that is asked for.

Text cannot be searched for in weights, nor taken out of them. So a version whose data set, or that
of a version it was trained on top of, held a forgotten turn is marked for good; the marks are kept
by run, in the journal. With `retrain` the next cycle starts from the newest version without one.
What is live stays live until another passes the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qi_learn.deploy.journal import (
    Deployment,
    require_live,
    runs_behind,
    update,
)
from qi_learn.paths import Paths
from qi_learn.records import MarkedVersion


def forgotten_in(deployment: Deployment, version: str) -> int:
    """The number of forgotten turns in the data sets behind a version."""
    runs = dict.fromkeys(runs_behind(deployment, version))
    return sum(deployment.forgot.get(run, 0) for run in runs)


def marked_versions(deployment: Deployment) -> tuple[MarkedVersion, ...]:
    """The versions whose data held something that is forgotten, oldest first."""
    return tuple(
        MarkedVersion(
            version=release.version,
            model=release.model,
            turns=count,
            live=release.version == deployment.live,
            on_server=release.version not in deployment.retired,
        )
        for release in deployment.releases
        if (count := forgotten_in(deployment, release.version))
    )


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


def mark_runs(paths: Paths, counts: Mapping[str, int], *, retrain: bool) -> Deployment:
    """Write down how many forgotten turns each run saw. Raises NotFound if nothing is live yet."""

    def marked(journal: Deployment | None) -> Deployment:
        deployment = require_live(journal)
        known = deployment.forgot
        forgot = {run: max(count, known.get(run, 0)) for run, count in {**known, **counts}.items()}
        return replace(deployment, forgot=forgot, retrain=retrain or deployment.retrain)

    return update(paths, marked)
