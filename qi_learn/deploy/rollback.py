"""Going back: the journal's chain gets shorter, the routes with it, and the server's alias follows.

It needs no torch, no network, no database and no daemon, and never waits long: journal and routes
are a file each (the gateway obeys them at once), and the first question that the server does not
answer in time is the last. It deletes nothing, so a named version can go live again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.journal import Deployment, load_deployment, update
from qi_learn.deploy.version import parse_version
from qi_learn.errors import Busy, NotFound, ServerError
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release

ROLLBACK_WAIT = 1.0
"""Seconds to wait for another process that is switching the alias; that process reads the journal
again when done, so it follows this one.
"""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The version that was live and the one that is."""

    before: str
    version: str
    model: str
    alias: str
    alias_moved: bool
    """If False, `problem` says why, and the alias follows at the next `reconcile`."""
    problem: str = ""


def choose(deployment: Deployment, version: str | None) -> Release:
    """The version to go back to.

    It is the one asked for, else the last of the chain before the live one whose model is still
    there.

    Raises NotFound if no version is left, or the one named is unknown, deleted or live already. The
    error lists the versions that one can go to.
    """
    available = [r.version for r in deployment.available if r.version != deployment.live]
    hint = (
        f"You can go to: {', '.join('v' + v for v in available)}."
        if available
        else "There is no other version yet."
    )
    if version is None:
        before = [v for v in deployment.chain[:-1] if v in available]
        if not before:
            raise NotFound(
                f"There is nothing to roll back to: v{deployment.live} has no version before it.",
                hint,
            )
        return deployment.release(before[-1])
    number = str(parse_version(version))
    if number == deployment.live:
        raise NotFound(f"v{number} is live already.", hint)
    if number not in {r.version for r in deployment.releases}:
        raise NotFound(f"There is no version v{number}.", hint)
    if number not in available:
        raise NotFound(f"The model of v{number} was deleted from the server.", hint)
    return deployment.release(number)


def roll_back(
    paths: Paths, server: Ollama | None, *, version: str | None = None, store: Path | None = None
) -> RolledBack:
    """Make an earlier version live; a second call goes one further back.

    `server` is None if none is up. Raises NotFound as `choose` does, and if the server answers but
    lacks the version's model: then nothing has changed. Raises Busy or DiskFull if the journal
    cannot be written. A server that is away or fails is no error: its alias follows later.
    """
    before = load_deployment(paths)
    problem = _unreachable(server, choose(before, version))
    after = update(paths, lambda current: _back(current, before, version))
    release = after.live_release
    if server is not None and not problem:
        try:
            reconcile(paths, server, store=store, wait=ROLLBACK_WAIT)
        except (ServerError, Busy) as error:
            problem = error.what
    return RolledBack(
        before.live, release.version, release.model, after.alias, not problem, problem
    )


def _back(current: Deployment | None, before: Deployment, version: str | None) -> Deployment:
    """The journal in which the version to go back to is live.

    Raises Busy if another went live since `before` was read.
    """
    if current is None or current.live != before.live:
        raise Busy(
            "Another version went live just now.",
            "Look at `qi-learn status`, then roll back again.",
        )
    target, chain = choose(current, version).version, current.chain
    shorter = chain[: chain.index(target) + 1] if target in chain else (*chain, target)
    return replace(current, chain=shorter)


def _unreachable(server: Ollama | None, release: Release) -> str:
    """Why the server cannot be asked; empty if it has the model.

    Raises NotFound if it answers but lacks the model.
    """
    if server is None:
        return "no server is up"
    try:
        served = server.has(release.model)
    except ServerError as error:
        return error.what
    if not served:
        raise NotFound(
            f"The server at {server.base_url} has no {release.model} any more.",
            "Name another version: `qi-learn versions` lists them.",
        )
    return ""
