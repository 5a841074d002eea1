"""The models that were made on a real Ollama: the alias, the versions, candidates left over.

Only what `deploy.json` names is ours. A name whose weights are not those that the journal notes
belongs to another by now, and stays. The embedded engine's models are files of the home.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from qi_learn.commands.removal import Removal, Removals
from qi_learn.deploy.journal import Deployment, candidate_model, read_journal, version_model
from qi_learn.deploy.model_server import uses_engine
from qi_learn.deploy.version import parse_version
from qi_learn.errors import QiError, ServerError, ServerUnreachable
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.settings import Settings

SECONDS = 10.0


def find_models(paths: Paths, settings: Settings) -> Removals:
    """Our models on the server that the settings name; if it is down, how to delete them."""
    if uses_engine(settings):
        return Removals()
    url = settings.serve.ollama.rstrip("/")
    try:
        deployment = read_journal(paths)
        if deployment is None:
            return Removals()
        names = tuple(dict.fromkeys(_names(deployment, paths)))
    except QiError as error:
        told = f"{error.what} So it is not known which models on {url} are ours."
        return Removals(left=(f"{told} Their names begin with {settings.serve.alias}.",))
    try:
        with Ollama(url, timeout=SECONDS) as server:
            return _on_server(server, deployment, names)
    except ServerError as error:
        return Removals(left=(f"{error.what} {by_hand(names, url)}",))


def by_hand(names: tuple[str, ...], url: str) -> str:
    """What to type for models that could not be deleted."""
    command = shlex.join(("ollama", "rm", *names))
    return f"Of these models the ones that are there are left on {url}: `{command}`"


def _names(deployment: Deployment, paths: Paths) -> Iterator[str]:
    """Every name that this installation gave; the alias first, since it leads to a version."""
    alias = deployment.alias
    yield str(parse_name(alias))
    yield from (release.model for release in reversed(deployment.releases))
    numbers = [*deployment.abandoned]
    runs = {run.run_id for run in run_directories(paths.runs)}
    runs.update(release.run_id for release in deployment.releases if release.run_id)
    if deployment.announced is not None:
        numbers.append(deployment.announced.version)
    yield from (version_model(alias, parse_version(number)) for number in numbers)
    yield from (candidate_model(alias, run) for run in sorted(runs) if run.isalnum())


def _on_server(server: Ollama, deployment: Deployment, names: tuple[str, ...]) -> Removals:
    there = {parse_name(model.name).key: model for model in server.models()}
    digests = {parse_name(r.model).key: r.digest for r in deployment.releases}
    candidates = parse_name(deployment.alias).tagged("candidate-").key
    left_over = (model.name for key, model in there.items() if key.startswith(candidates))
    going, left = [], []
    for name in dict.fromkeys((*names, *left_over)):
        key = parse_name(name).key
        if key not in there:
            continue
        if _is_anothers(server, name, digests.get(key, "")):
            left.append(f"{name} on {server.base_url} has other weights than ours had: it stays.")
            continue
        going.append(
            Removal(
                "model", f"{name} on {server.base_url}", partial(_delete, server.base_url, name)
            )
        )
    return Removals(tuple(going), tuple(left))


def _is_anothers(server: Ollama, name: str, digest: str) -> bool:
    """Whether the server says that a name has other weights than the journal noted.

    Of a model that is damaged it says nothing: then the name decides.
    """
    try:
        weights = (server.weights(name) or "").rpartition("sha256-")[2][:64]
    except ServerUnreachable:
        raise
    except ServerError:
        return False
    return bool(digest and weights) and weights != digest


def _delete(url: str, name: str) -> None:
    """Delete a model. Raises ServerError with the command to do it by hand."""
    try:
        with Ollama(url, timeout=SECONDS) as server:
            if server.has(name):
                server.delete(name)
    except ServerError as error:
        raise ServerError(error.what, by_hand((name,), url), error.status) from error
