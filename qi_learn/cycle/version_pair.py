"""Which two versions are compared after shipping: the live one, and where a rollback would go."""

from __future__ import annotations

from qi_learn.deploy.journal import Deployment, runs_behind
from qi_learn.records import VersionPair
from qi_learn.store.database import Store
from qi_learn.store.monitored import went_live


def pair_to_compare(store: Store, deployment: Deployment) -> VersionPair | str:
    """The pair; or why there is none, in words.

    It begins when the live version went live last, so a rollback begins another one.
    """
    if len(deployment.chain) < 2:
        return "no other version was live before"
    live, previous = map(deployment.release, deployment.chain[:-3:-1])
    if previous.version in deployment.retired or live.version in deployment.retired:
        return f"the model of v{previous.version} was deleted"
    if live.base_digest != previous.base_digest:
        return f"v{previous.version} is made from another base"
    if (began := went_live(store, live.version)) is None:
        return f"it is not known yet when v{live.version} went live"
    return VersionPair(began[0], live.version, previous.version, began[1])


def runs_learned(deployment: Deployment, pair: VersionPair) -> frozenset[str]:
    """The runs whose data one of the two has learned."""
    return frozenset(
        run for version in (pair.live, pair.previous) for run in runs_behind(deployment, version)
    )
