"""Versions: the candidate that passed the gate goes live, and the old ones go.

The invariant: at every instant the routes lead to a complete, gated model, and so does the alias
(but for the short gap that `alias` describes). So a version's model is complete on the server
before the journal names it live; routes and alias follow the journal. Models are deleted last, and
only when the server confirms that the alias has moved. Each step first looks at what is there:
killed anywhere and run again, all of this completes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.journal import (
    Deployment,
    announce,
    announced_version,
    load_deployment,
    require_live,
    taken_versions,
    update,
    version_model,
    with_live,
)
from qi_learn.deploy.version import Bump, parse_version
from qi_learn.errors import LiveChanged, NotFound, ServerError
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths
from qi_learn.records import Release

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that passed the gate and may go live."""

    model: str
    """Its name on the server while it was tested."""
    run_id: str
    compared_with: str
    """The version that it was compared with: the one that must be live still."""
    bump: Bump = "minor"


@dataclass(frozen=True, slots=True)
class Promoted:
    """A release that went live, the version before it, and the versions retired for it.

    Retired: their models were deleted.
    """

    release: Release
    alias: str
    previous: str
    retired: tuple[str, ...]


# --- a new version --------------------------------------------------------------------------------


def promote(
    paths: Paths,
    server: Ollama,
    candidate: Candidate,
    *,
    make: Callable[[str, str], Release],
    store: Path | None,
    keep: int,
) -> Promoted:
    """Make the candidate the live version under the next number.

    * `make(version, model)`: puts the release's files in place and gives its record.
    * `store`: the server's model store if it is local, else None.
    * `keep`: how many versions of the chain keep their models.

    Run again for the same run it completes what is missing, with the same number; a release that
    was rolled back since is not made live again. Raises LiveChanged if another version than
    `compared_with` is live by now: the gate must compare with that one. Raises ServerError, Busy,
    DiskFull.
    """
    deployment = load_deployment(paths)
    release = next((r for r in deployment.releases if r.run_id == candidate.run_id), None)
    if release is None:
        release = _release(paths, server, deployment.alias, candidate, make)
    reconcile(paths, server, store=store)
    if server.has(candidate.model):
        server.delete(candidate.model)
    retired = retire(paths, server, keep=keep)
    return Promoted(release, load_deployment(paths).alias, candidate.compared_with, retired)


def _release(
    paths: Paths,
    server: Ollama,
    alias: str,
    candidate: Candidate,
    make: Callable[[str, str], Release],
) -> Release:
    """Announce a number, put files and model in place, and only then name the release live."""
    taken = taken_versions(alias, [m.name for m in server.models()])

    def announced(journal: Deployment | None) -> Deployment:
        unchanged = _unchanged(journal, candidate.compared_with)
        return announce(unchanged, candidate.run_id, candidate.bump, taken)

    journal = update(paths, announced)
    version = announced_version(journal)
    release = make(str(version), version_model(journal.alias, version))
    _copy_checked(server, candidate.model, release.model)
    update(paths, lambda current: with_live(_unchanged(current, candidate.compared_with), release))
    return release


def _unchanged(journal: Deployment | None, compared_with: str) -> Deployment:
    """The journal. Raises LiveChanged unless the version compared with is live still."""
    deployment = require_live(journal)
    if deployment.live != compared_with:
        raise LiveChanged(
            f"Version {deployment.live} went live while the candidate was compared with "
            f"{compared_with}.",
            "It is compared again with the version that is live now.",
            deployment.live,
        )
    return deployment


def _copy_checked(server: Ollama, candidate: str, model: str) -> None:
    """Copy the candidate's content to the immutable name, and confirm it.

    The name is free: its number was taken for this run.
    """
    source = server.find(candidate)
    if source is None:
        raise ServerError(
            f"The server at {server.base_url} has no {candidate} any more.",
            "The cycle makes it again from its packed file.",
            status=404,
        )
    server.copy(candidate, model)
    copied = server.find(model)
    if copied is None or copied.digest != source.digest:
        raise ServerError(
            f"{model} is not what {candidate} is although the server said so.",
            "Look at the server's log, then try again.",
        )


# --- the old ones ---------------------------------------------------------------------------------


def retire(paths: Paths, server: Ollama, *, keep: int) -> tuple[str, ...]:
    """Delete the models of versions beyond the last `keep` of the chain.

    Bases and pinned versions stay. Returns the versions retired by this call.

    First the server must confirm that the alias leads to the live version, then the journal says
    what goes, then it goes: so the journal never offers a version that is not there. What an
    interrupted call or an abandoned run left is deleted too. Raises ServerError if the alias is
    not confirmed.
    """
    models = {parse_name(m.name).key: m.digest for m in server.models()}
    before = load_deployment(paths)
    _confirm_alias(before, models)

    def retired(journal: Deployment | None) -> Deployment:
        deployment = require_live(journal)
        return replace(deployment, retired=(*deployment.retired, *beyond(deployment, keep)))

    after = update(paths, retired)
    gone = [
        *(after.release(v).model for v in after.retired),
        *(version_model(after.alias, parse_version(v)) for v in after.abandoned),
    ]
    for model in gone:
        if parse_name(model).key in models:
            server.delete(model)
            logger.info("%s was deleted", model)
    return tuple(v for v in after.retired if v not in before.retired)


def _confirm_alias(deployment: Deployment, models: dict[str, str]) -> None:
    live, alias = (
        models.get(parse_name(name).key)
        for name in (deployment.live_release.model, deployment.alias)
    )
    if live is None or live != alias:
        raise ServerError(
            f"{deployment.alias} does not lead to {deployment.live_release.model}; nothing is "
            "deleted.",
            "It is put right when the daemon next reaches the server.",
        )


def beyond(deployment: Deployment, keep: int) -> tuple[str, ...]:
    """The versions that may go.

    They are neither base nor pinned, nor among the last `keep` learned ones of the chain.
    """
    learned = [
        v for v in deployment.chain if not parse_version(v).is_base and v not in deployment.retired
    ]
    kept = {deployment.live, *learned[len(learned) - keep if keep < len(learned) else 0 :]}
    return tuple(
        r.version
        for r in deployment.available
        if r.version not in kept and not r.pinned and not parse_version(r.version).is_base
    )


def pin(paths: Paths, version: str, *, pinned: bool) -> Release:
    """Keep a version for good, or let it go with the others.

    Raises NotFound if there is none, or its model was deleted already.
    """
    number = str(parse_version(version))

    def change(journal: Deployment | None) -> Deployment:
        deployment = require_live(journal)
        if deployment.release(number).version in deployment.retired:
            raise NotFound(
                f"The model of v{number} was deleted.",
                f"Still there: {', '.join('v' + r.version for r in deployment.available)}.",
            )
        releases = tuple(
            replace(r, pinned=pinned) if r.version == number else r for r in deployment.releases
        )
        return replace(deployment, releases=releases)

    return update(paths, change).release(number)
