"""Going back: the journal's chain one step shorter, the routes after it, the alias after those.

Needs neither torch nor network nor database nor daemon. With the server down the journal and the routes are changed all the same (the gateway obeys them
at once) and the alias follows at the next `reconcile`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.deploy.alias import move_alias
from qi_learn.deploy.journal import Deployment, changing, load_deployment, save_deployment
from qi_learn.deploy.version import parse_version
from qi_learn.errors import NotFound, ServerError
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What was live and what is. `alias_moved` is False where the server could not be asked."""

    before: str
    version: str
    model: str
    alias: str
    alias_moved: bool
    problem: str = ""


def choose(deployment: Deployment, version: str | None) -> Release:
    """The version to go back to: the one asked for, else the last of the chain before the live one that is still there.

    Raises NotFound where there is none, it was deleted, or it is live already.
    """
    there = [r.version for r in deployment.releases if r.version not in deployment.retired and r.version != deployment.live]
    if version is None:
        before = [v for v in deployment.chain[:-1] if v in there]
        if not before:
            raise NotFound(f"There is no version before {deployment.live}.", "`qi-learn versions` lists what there is.")
        return deployment.release(before[-1])
    wanted = ".".join(map(str, parse_version(version)))
    release = deployment.release(wanted)
    if wanted not in there:
        why = "is live already" if wanted == deployment.live else "was deleted from the server"
        raise NotFound(f"Version {wanted} {why}.", f"You can go to: {', '.join(there) or 'none'}.")
    return release


def roll_back(paths: Paths, server: Ollama | None, *, version: str | None = None, store: Path | None = None) -> RolledBack:
    """Makes an earlier version live. Raises NotFound as `choose` does, and where the server lacks the version's model (nothing is changed then)."""
    with changing(paths):
        deployment = load_deployment(paths)
        release = choose(deployment, version)
        problem = _missing(server, release)
        chain = deployment.chain
        shorter = chain[: _last(chain, release.version) + 1] if release.version in chain else (*chain, release.version)
        changed = replace(deployment, chain=shorter)
        save_deployment(paths, changed)
        if server is not None and not problem:
            try:
                move_alias(server, changed.alias, release.model, store=store)
            except ServerError as error:
                problem = error.what
        return RolledBack(deployment.live, release.version, release.model, changed.alias, server is not None and not problem, problem)


def _missing(server: Ollama | None, release: Release) -> str:
    """Why the server cannot be asked; empty where it has the model. Raises NotFound where it answers and has it not."""
    if server is None:
        return "no server was given"
    try:
        if not server.has(release.model):
            raise NotFound(f"The server at {server.base_url} has no {release.model} any more.", "Choose another version: `qi-learn versions`.")
    except ServerError as error:
        return error.what
    return ""


def _last(chain: tuple[str, ...], version: str) -> int:
    return len(chain) - 1 - chain[::-1].index(version)
