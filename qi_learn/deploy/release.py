"""Versions: the base, the candidate that passed the gate, and the old ones that go.

The invariant: at every instant the alias and the routes lead to a complete, gated model. So a
version's model is complete on the server before the journal names it live; routes and alias follow
the journal; models are deleted last, and only when the server confirms that the alias has moved.
Each step first looks at what is there: killed anywhere and run again, all of this completes.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import (
    Announced,
    Deployment,
    load_deployment,
    read_journal,
    taken_versions,
    update,
    version_model,
)
from qi_learn.deploy.version import FIRST, Bump, next_version, parse_version
from qi_learn.errors import LiveChanged, ModelError, NotFound, ServerError, SettingsError
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths
from qi_learn.records import Release

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Promoted:
    """A release that went live, the version before it, and the versions whose models were deleted
    for it.
    """

    release: Release
    alias: str
    previous: str
    retired: tuple[str, ...]


# --- the base -------------------------------------------------------------------------------------


def ensure_base(
    paths: Paths,
    server: Ollama,
    *,
    alias: str,
    base_model: str,
    gguf: Path | None,
    digest: str,
    spec: Mapping[str, Any],
    answer_for: tuple[str, ...],
    store: Path | None,
    now: float,
) -> Deployment:
    """Version 1.0.0 from a model the server has (`base_model`) or a file, where no version is there
    yet; then all agrees with the journal.

    Where versions are there, only the alias and the names to answer for are taken over; another
    base for them is `new_base`. Raises NotFound where the server lacks `base_model`, SettingsError
    where the alias is somebody else's model, ModelError where there is nothing to make it from,
    ServerError.
    """
    before = read_journal(paths)
    if before is None or parse_name(before.alias) != parse_name(alias):
        _refuse_foreign(paths, server, alias, store)
    if before is None:
        model = version_model(alias, FIRST)
        source = _make_base(server, model, base_model, gguf, digest, spec)
        first = Release(str(FIRST), model, source, now, source)
        update(paths, lambda there: there or _first(first, alias, answer_for))
    update(
        paths,
        lambda there: replace(_there(there), alias=str(parse_name(alias)), answer_for=answer_for),
    )
    reconcile(paths, server, store=store)
    if (
        before is not None
        and parse_name(before.alias) != parse_name(alias)
        and server.has(before.alias)
    ):
        server.delete(before.alias)  # it would go stale: nobody moves it any more
    return load_deployment(paths)


def new_base(
    paths: Paths,
    server: Ollama,
    *,
    base_model: str,
    gguf: Path | None,
    digest: str,
    spec: Mapping[str, Any],
    answer_for: tuple[str, ...],
    store: Path | None,
    now: float,
) -> Deployment:
    """Another base model under the next major number, live at once: what was learned on the old
    base stays with its versions. Raises as `ensure_base`.
    """
    deployment = load_deployment(paths)
    taken = taken_versions(deployment.alias, (m.name for m in server.models()))
    given = update(
        paths,
        lambda there: _announce(_there(there), f"base {digest or base_model}", "major", taken),
    )
    version = _announced(given)
    model = version_model(given.alias, parse_version(version))
    source = _make_base(server, model, base_model, gguf, digest, spec)
    release = Release(version, model, source, now, source)
    update(paths, lambda there: replace(_with_live(_there(there), release), answer_for=answer_for))
    reconcile(paths, server, store=store)
    return load_deployment(paths)


def _refuse_foreign(paths: Paths, server: Ollama, alias: str, store: Path | None) -> None:
    """Before the first version nothing of ours bears the alias; in the engine's own store nothing
    is anybody else's.
    """
    ours = store is not None and store.is_relative_to(paths.data)
    if not ours and server.has(alias):
        hint = f"Set serve.alias to another name, or delete that one: `ollama rm {alias}`."
        raise SettingsError(
            f"The server at {server.base_url} has a model {alias} that this installation did not "
            "make.",
            hint,
        )


def _make_base(
    server: Ollama,
    model: str,
    base_model: str,
    gguf: Path | None,
    digest: str,
    spec: Mapping[str, Any],
) -> str:
    """Makes the model; the digest of its GGUF (empty where the server does not say)."""
    if base_model:
        if not server.has(base_model):
            raise NotFound(
                f"The server at {server.base_url} has no model {base_model}.",
                f"`ollama pull {base_model}` gets it.",
            )
        server.copy(base_model, model)
        return digest or (server.weights(model) or "").rpartition("sha256-")[2][:64]
    if gguf is None:
        raise ModelError(
            "There is neither a base model nor a file to make the base version from.",
            "Set serve.base or serve.base_gguf.",
        )
    make_model(server, model, gguf, digest, spec)
    return digest


def _first(release: Release, alias: str, answer_for: tuple[str, ...]) -> Deployment:
    version = release.version
    return Deployment(
        str(parse_name(alias)), secrets.token_hex(8), version, answer_for, (release,), (version,)
    )


# --- a new version --------------------------------------------------------------------------------


def promote(
    paths: Paths,
    server: Ollama,
    candidate: str,
    *,
    compared_with: str,
    run_id: str,
    bump: Bump,
    make: Callable[[str, str], Release],
    store: Path | None,
    keep: int,
) -> Promoted:
    """The candidate becomes the live version under the next number. `make(version, model)` puts the
    release's files in place and gives its record.

    Run again for the same `run_id` it completes what is missing, with the same number; a release
    that was rolled back since is not made live again. Raises LiveChanged where another version than
    `compared_with` is live by now: the gate must compare with that one. Raises ServerError, Busy,
    DiskFull.
    """
    release = _released(load_deployment(paths), run_id)
    if release is None:
        names = tuple(m.name for m in server.models())
        alias = load_deployment(paths).alias
        given = update(
            paths,
            lambda there: _announce(
                _still(there, compared_with), run_id, bump, taken_versions(alias, names)
            ),
        )
        version = _announced(given)
        made = release = make(version, version_model(given.alias, parse_version(version)))
        _copy_checked(server, candidate, made.model)
        update(paths, lambda there: _with_live(_still(there, compared_with), made))
    reconcile(paths, server, store=store)
    if server.has(candidate):
        server.delete(candidate)
    retired = retire(paths, server, keep=keep)
    return Promoted(release, load_deployment(paths).alias, compared_with, retired)


def _released(deployment: Deployment, run_id: str) -> Release | None:
    return next((r for r in deployment.releases if r.run_id == run_id), None)


def _there(deployment: Deployment | None) -> Deployment:
    if deployment is None or not deployment.chain:
        raise NotFound(
            "No version of the model is live yet.",
            "`qi-learn init` makes version 1.0.0 from the base model.",
        )
    return deployment


def _still(deployment: Deployment | None, compared_with: str) -> Deployment:
    there = _there(deployment)
    if there.live != compared_with:
        what = (
            f"Version {there.live} went live while the candidate was compared with {compared_with}."
        )
        raise LiveChanged(
            what, "It is compared again with the version that is live now.", there.live
        )
    return there


def _announce(deployment: Deployment, run_id: str, bump: Bump, taken: set[Any]) -> Deployment:
    """With a number for the run: the one it has, else the next.

    A number that another run had and never used is abandoned.
    """
    old = deployment.announced
    if old is not None and old.run_id == run_id:
        return deployment
    version = str(next_version(bump, parse_version(deployment.highest), taken))
    abandoned = (*deployment.abandoned, old.version) if old else deployment.abandoned
    return replace(
        deployment, highest=version, announced=Announced(run_id, version), abandoned=abandoned
    )


def _announced(deployment: Deployment) -> str:
    assert deployment.announced is not None  # just written by _announce
    return deployment.announced.version


def _copy_checked(server: Ollama, candidate: str, model: str) -> None:
    """The candidate's content under the immutable name.

    The name is nobody's yet: its number was taken for this run.
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


def _with_live(deployment: Deployment, release: Release) -> Deployment:
    releases = (*(r for r in deployment.releases if r.version != release.version), release)
    return replace(
        deployment, releases=releases, chain=(*deployment.chain, release.version), announced=None
    )


# --- the old ones ---------------------------------------------------------------------------------


def retire(paths: Paths, server: Ollama, *, keep: int) -> tuple[str, ...]:
    """Deletes the models of versions beyond the last `keep` of the chain; bases and pinned versions
    stay. The versions retired now.

    First the server must confirm that the alias leads to the live version, then the journal says
    what goes, then it goes: so the journal never offers a version that is not there. What an
    interrupted call or an abandoned run left is deleted too. Raises ServerError where the alias is
    not confirmed.
    """
    models = {parse_name(m.name).key: m.digest for m in server.models()}
    now = load_deployment(paths)
    live, alias = (models.get(parse_name(name).key) for name in (now.live_release.model, now.alias))
    if live is None or live != alias:
        hint = "It is put right when the daemon next reaches the server."
        raise ServerError(
            f"{now.alias} does not lead to {now.live_release.model}; nothing is deleted.", hint
        )
    after = update(
        paths,
        lambda there: replace(
            _there(there), retired=(*_there(there).retired, *beyond(_there(there), keep))
        ),
    )
    gone = [
        *(after.release(v).model for v in after.retired),
        *(version_model(after.alias, parse_version(v)) for v in after.abandoned),
    ]
    for model in gone:
        if parse_name(model).key in models:
            server.delete(model)
            logger.info("%s was deleted", model)
    return tuple(v for v in after.retired if v not in now.retired)


def beyond(deployment: Deployment, keep: int) -> tuple[str, ...]:
    """The versions that may go: neither base nor pinned, nor among the last `keep` learned ones of
    the chain.
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
    """Keeps a version for good, or lets it go with the others.

    Raises NotFound where there is none, or its model was deleted already.
    """
    number = str(parse_version(version))

    def change(there: Deployment | None) -> Deployment:
        deployment = _there(there)
        if deployment.release(number).version in deployment.retired:
            raise NotFound(
                f"The model of v{number} was deleted.",
                f"Still there: {', '.join('v' + r.version for r in deployment.available)}.",
            )
        return replace(
            deployment,
            releases=tuple(
                replace(r, pinned=pinned) if r.version == number else r for r in deployment.releases
            ),
        )

    return update(paths, change).release(number)
