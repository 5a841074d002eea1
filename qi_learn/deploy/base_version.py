"""Base versions: 1.0.0, and the next major number for another base.

1.0.0 is made from the base model, the next major number if the settings name another by then. One
that the server has lost is made again: a client may have deleted it, or the home was moved.

As everywhere in this package the model is complete on the server before the journal names it, and
each step first looks at what is there: killed anywhere and run again, it completes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import (
    Deployment,
    announce,
    announced_version,
    load_deployment,
    read_journal,
    require_live,
    taken_versions,
    update,
    version_model,
    with_live,
)
from qi_learn.deploy.version import FIRST, parse_version
from qi_learn.errors import ModelError, NotFound, SettingsError
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths
from qi_learn.records import Release


@dataclass(frozen=True, slots=True)
class BaseSource:
    """What a base version is made from: a model that the server has, or a file.

    Empty if the base version is there already.
    """

    model: str = ""
    """Name of the server's model; empty: the file is used."""
    gguf: Path | None = None
    digest: str = ""
    """sha256 of the GGUF, hex; empty if the server does not tell it."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What a model made from the file cannot inherit (`outside.ollama.SPEC`)."""


def ensure_base(
    paths: Paths,
    server: Ollama,
    source: BaseSource,
    *,
    alias: str,
    answer_for: tuple[str, ...],
    store: Path | None,
    now: float,
) -> Deployment:
    """Make version 1.0.0 if there is no version yet; then make all agree with the journal.

    If versions are there, only the alias and the names to answer for are taken over, and the base
    of the live one is made again if the server lost it; another base for them is `new_base`.

    `store`: the server's model store if it is local, else None. Raises NotFound if the server lacks
    the model, SettingsError if the alias is a model that this installation did not make or the lost
    base is another one, ModelError if there is nothing to make the version from, ServerError.
    """
    before = read_journal(paths)
    moved = before is not None and parse_name(before.alias) != parse_name(alias)
    if before is None or moved:
        _refuse_foreign(paths, server, alias, store)
    if before is None:
        model = version_model(alias, FIRST)
        digest = _make_base(server, model, source)
        first = Release(str(FIRST), model, digest, now, digest)
        update(paths, lambda current: current or _first(first, alias, answer_for))
    name = str(parse_name(alias))
    deployment = update(
        paths, lambda current: replace(require_live(current), alias=name, answer_for=answer_for)
    )
    if (lost := lost_base(deployment, server)) is not None and source != BaseSource():
        _make_again(server, lost, source)
    reconcile(paths, server, store=store)
    if before is not None and moved and server.has(before.alias):
        server.delete(before.alias)  # it would go stale: nothing moves it any more
    return load_deployment(paths)


def lost_base(deployment: Deployment, server: Ollama) -> Release | None:
    """The base version behind the live one, if the server has its model no more."""
    base = deployment.release(f"{parse_version(deployment.live).major}.0.0")
    return None if server.has(base.model) else base


def new_base(
    paths: Paths,
    server: Ollama,
    source: BaseSource,
    *,
    answer_for: tuple[str, ...],
    store: Path | None,
    now: float,
) -> Deployment:
    """Make another base model live at once, under the next major number.

    What was learned on the old base stays with its versions. Raises as `ensure_base`.
    """
    deployment = load_deployment(paths)
    taken = taken_versions(deployment.alias, (m.name for m in server.models()))
    run_id = f"base {source.digest or source.model}"
    journal = update(paths, lambda current: announce(require_live(current), run_id, "major", taken))
    version = announced_version(journal)
    model = version_model(journal.alias, version)
    digest = _make_base(server, model, source)
    release = Release(str(version), model, digest, now, digest)
    update(
        paths,
        lambda current: replace(with_live(require_live(current), release), answer_for=answer_for),
    )
    reconcile(paths, server, store=store)
    return load_deployment(paths)


def _refuse_foreign(paths: Paths, server: Ollama, alias: str, store: Path | None) -> None:
    """Raise SettingsError if the server has a model under the alias that is not ours.

    Before the first version nothing of ours bears the alias; in the engine's own store everything
    is ours.
    """
    ours = store is not None and store.is_relative_to(paths.data)
    if not ours and server.has(alias):
        raise SettingsError(
            f"The server at {server.base_url} has a model {alias} that this installation did not "
            "make.",
            f"Set serve.alias to another name, or delete that one: `ollama rm {alias}`.",
        )


def _make_again(server: Ollama, lost: Release, source: BaseSource) -> None:
    """Make a base version's model again from the same weights. Raises SettingsError for others."""
    if lost.base_digest and source.digest and source.digest != lost.base_digest:
        raise SettingsError(
            f"The server at {server.base_url} lost {lost.model}, and the settings name another "
            "base.",
            "Name the old one again, or run `qi-learn init` to begin with the new one.",
        )
    _make_base(server, lost.model, source)


def _make_base(server: Ollama, model: str, source: BaseSource) -> str:
    """Make the model; the digest of its GGUF (empty if the server does not tell it)."""
    if source.model:
        if not server.has(source.model):
            raise NotFound(
                f"The server at {server.base_url} has no model {source.model}.",
                f"`ollama pull {source.model}` gets it.",
            )
        server.copy(source.model, model)
        return source.digest or (server.weights(model) or "").rpartition("sha256-")[2][:64]
    if source.gguf is None:
        raise ModelError(
            "There is neither a base model nor a file to make the base version from.",
            "Set serve.base or serve.base_gguf.",
        )
    make_model(server, model, source.gguf, source.digest, source.spec)
    return source.digest


def _first(release: Release, alias: str, answer_for: tuple[str, ...]) -> Deployment:
    version = release.version
    return Deployment(
        str(parse_name(alias)), secrets.token_hex(8), version, answer_for, (release,), (version,)
    )
