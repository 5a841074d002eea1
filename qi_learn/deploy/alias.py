"""The alias follows the journal: after `reconcile` it leads to the live model.

Through the gateway it resolves at every instant, to a complete, gated model. On the server the
alias itself does so only if the store is writable here; if it is not, there is a short gap while
`/api/copy` writes.

`/api/copy` writes the manifest in place, and a request in that moment gets an error (measured:
about one in five copies under load). If the server's store is local and writable, a copy of the
version's manifest, byte for byte as the server wrote it, is renamed into place instead, which has
no such moment. Whether it took is checked through the server; if not, it is undone and `/api/copy`
does it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qi_learn.deploy.journal import SWITCH_WAIT, locked, read_journal, require_live, update
from qi_learn.errors import ServerError
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths, sync_directory

logger = logging.getLogger(__name__)
How = Literal["already", "renamed", "copied"]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The live version, and how the server's alias got there."""

    version: str
    model: str
    how: How


def reconcile(
    paths: Paths, server: Ollama, *, store: Path | None, wait: float = SWITCH_WAIT
) -> Reconciled:
    """Make `routes.json` and the server's alias agree with the journal.

    It is called after a crash or an offline rollback, or as the last step of a switch.

    `store`: the server's model store if it is local, else None. The process that holds the switch
    reads the journal again when done, so that the journal's last state wins whatever happens
    meanwhile. Raises NotFound if nothing is live yet, Busy, ServerError (status 404 if the server
    lost the version).
    """
    with locked(paths.data / "switch.lock", wait):
        while True:
            deployment = update(paths, require_live)  # changes nothing, but writes the routes
            how = switch_alias(server, deployment.alias, deployment.live_release.model, store)
            if read_journal(paths) == deployment:
                return Reconciled(deployment.live, deployment.live_release.model, how)


def switch_alias(server: Ollama, alias: str, target: str, store: Path | None) -> How:
    """Make `alias` another name of `target`, and confirm it.

    Raises ServerError if the server has no `target`, or the alias did not move.
    """
    model = server.find(target)
    if model is None:
        raise ServerError(
            f"The server at {server.base_url} has no model {target} any more.",
            "`qi-learn rollback` goes to the version before; `qi-learn versions` lists them.",
            status=404,
        )
    if _points_at(server, alias, model.digest):
        return "already"
    if store is not None and _by_rename(server, alias, target, model.digest, store):
        return "renamed"
    server.copy(target, alias)
    if not _points_at(server, alias, model.digest):
        raise ServerError(
            f"{alias} does not lead to {target} although the server said so.",
            "Look at the server's log; `qi-learn doctor` looks at ours.",
        )
    return "copied"


def _points_at(server: Ollama, alias: str, digest: str) -> bool:
    model = server.find(alias)
    return model is not None and model.digest == digest


def _by_rename(server: Ollama, alias: str, target: str, digest: str, store: Path) -> bool:
    """Rename a copy of the target's manifest into place; whether the server sees it.

    False, with everything as before, if the store is another server's or cannot be written, or if
    the server does not see the change.
    """
    manifests = store / "manifests"
    manifest = manifests / parse_name(alias).manifest
    try:
        source = manifests / parse_name(target).manifest
        raw = source.read_bytes()
        if hashlib.sha256(raw).hexdigest() != digest:
            return False
        before = manifest.read_bytes() if manifest.exists() else None
        _put(store, manifest, raw, source.stat().st_mode)
        if _shows(server, alias, digest):
            return True
        if before is None:
            manifest.unlink()
        else:
            _put(store, manifest, before, source.stat().st_mode)
    except OSError as error:
        logger.info("the alias cannot be renamed in %s (%s); the server copies it", store, error)
    return False


def _shows(server: Ollama, alias: str, digest: str) -> bool:
    try:
        server.show(alias)
        return _points_at(server, alias, digest)
    except ServerError:
        return False


def _put(store: Path, manifest: Path, raw: bytes, mode: int) -> None:
    """Rename a file with these bytes into place.

    The temporary file lies outside `manifests`: inside, the server would take it for a model.
    """
    manifest.parent.mkdir(parents=True, exist_ok=True)
    temp = store / ".qi-learn-alias.tmp"
    try:
        with temp.open("wb") as out:
            out.write(raw)
            out.flush()
            os.fsync(out.fileno())
        temp.chmod(mode & 0o777)
        temp.replace(manifest)
    finally:
        temp.unlink(missing_ok=True)
    sync_directory(manifest.parent)
