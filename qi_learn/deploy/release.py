"""Making versions and making them live.

The invariant: at every instant the alias and the routes resolve to a complete, gated model. So a model is made under a candidate's name, tested there,
copied to its immutable name, written into the journal, and only then the routes and the alias follow; old ones are deleted last. Every step looks at
what is there first, so that running it again after a crash completes it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qi_learn.deploy.alias import move_alias, same_model
from qi_learn.deploy.journal import Deployment, changing, load_deployment, save_deployment, version_model, write_routes
from qi_learn.deploy.version import BASE, Bump, next_version
from qi_learn.errors import LiveChanged, ModelError, NotFound, ServerError
from qi_learn.outside.names import parse_name
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release

logger = logging.getLogger(__name__)
GREETING = [{"role": role, "content": text} for role, text in (("system", "Be brief."), ("user", "Say hi."), ("assistant", "Hi."), ("user", "Count to three."))]
SMOKE_TOKENS = 16


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
    """Version 1.0.0 and the alias, from a model the server has (`base_model`) or from a file; what is there already stays.

    Raises NotFound where the server lacks `base_model`, ServerError where it fails, ModelError where neither a model nor a file is given.
    """
    with changing(paths):
        try:
            return _agree(paths, server, load_deployment(paths), store)
        except NotFound:
            pass  # the first start: made below
        model = version_model(alias, BASE)
        if not server.has(model):
            if base_model:
                _copy_from(server, base_model, model)
            elif gguf is not None:
                make_model(server, model, gguf, digest, spec)
            else:
                raise ModelError("There is neither a base model nor a file to make version 1.0.0 from.", "Set serve.base or serve.base_gguf.")
        release = Release(BASE, model, digest, now, digest)
        deployment = Deployment(str(parse_name(alias)), answer_for, (release,), (BASE,), BASE, secrets.token_hex(8))
        save_deployment(paths, deployment)
        move_alias(server, alias, model, store=store)
        return deployment


def _copy_from(server: Ollama, base_model: str, model: str) -> None:
    if not server.has(base_model):
        raise NotFound(f"The server at {server.base_url} has no model {base_model}.", f"`ollama pull {base_model}` gets it.")
    server.copy(base_model, model)


def make_model(server: Ollama, model: str, gguf: Path, digest: str, spec: Mapping[str, Any]) -> None:
    """A model from a complete GGUF: the blob is sent unless the server has it. Never used on a name that is live."""
    server.upload_blob(gguf, digest)
    server.create(model, files={"model.gguf": digest}, spec=spec)


def smoke_test(server: Ollama, model: str, reference: str) -> None:
    """The candidate answers, and reads a conversation exactly as `reference` does. Raises ModelError where it does not."""
    body = {"messages": GREETING}
    shown, wanted = (server.render("/api/chat", {**body, "model": name}) for name in (model, reference))
    if shown != wanted:
        raise ModelError(f"{model} renders a conversation differently from {reference}.", "The template or system prompt was lost on the way; the version before stays live.")
    try:
        answer = server.ask({"endpoint": "/api/chat", "body": {**body, "options": {"num_predict": SMOKE_TOKENS, "temperature": 0}}}, model)
    except ServerError as error:
        raise ModelError(f"{model} does not answer: {error.what}", "The version before stays live.") from error
    if answer.answer_tokens < 1:
        raise ModelError(f"{model} answers nothing.", "The version before stays live.")


def promote(
    paths: Paths,
    server: Ollama,
    candidate: str,
    *,
    compared_with: str,
    run_id: str | None,
    bump: Bump,
    make: Callable[[str, str], Release],
    store: Path | None,
    keep: int,
) -> Deployment:
    """The candidate becomes the live version. `make(version, model)` gives the record of the release (and puts its files in place).

    Done already for this run, it only completes what is missing. Raises LiveChanged where another version than `compared_with` is live by now.
    """
    with changing(paths):
        deployment = load_deployment(paths)
        mine = next((r for r in deployment.releases if run_id is not None and r.run_id == run_id), None)
        if mine is None:
            if deployment.live != compared_with:
                what = f"{deployment.live} went live while the candidate was compared with {compared_with}."
                raise LiveChanged(what, "It is compared again with the version that is live now.")
            version = next_version(deployment.highest, bump)
            model = version_model(deployment.alias, version)
            server.copy(candidate, model)
            if not same_model(server, candidate, model):
                raise ServerError(f"{model} is not what {candidate} was.", "Look at the server's log.")
            deployment = replace(deployment.with_live(make(version, model)), highest=version)
            save_deployment(paths, deployment)
        deployment = _agree(paths, server, deployment, store)
        if server.has(candidate):
            server.delete(candidate)
        return _retire(paths, server, deployment, keep)


def reconcile(paths: Paths, server: Ollama, *, store: Path | None) -> Deployment:
    """Routes and alias as the journal wants them: after a crash, or a rollback made while the server was down."""
    with changing(paths):
        return _agree(paths, server, load_deployment(paths), store)


def drop_candidates(server: Ollama, alias: str, *, keep: Iterable[str] = ()) -> list[str]:
    """Deletes what tests left behind (`qi-agent:candidate-...`), except `keep`; their names."""
    own, kept = parse_name(alias).tagged("candidate-").key, {parse_name(k).key for k in keep}
    found = [m.name for m in server.models() if parse_name(m.name).key.startswith(own) and parse_name(m.name).key not in kept]
    for name in found:
        server.delete(name)
    return found


def _agree(paths: Paths, server: Ollama, deployment: Deployment, store: Path | None) -> Deployment:
    model = deployment.live_release.model
    if not server.has(model):
        todo = "`qi-learn rollback VERSION` goes to one that is there; `qi-learn versions` lists them."
        raise ServerError(f"The live version's model {model} is not on the server at {server.base_url}.", todo)
    write_routes(paths, deployment)
    move_alias(server, deployment.alias, model, store=store)
    return deployment


def _retire(paths: Paths, server: Ollama, deployment: Deployment, keep: int) -> Deployment:
    """Deletes the models of versions beyond the last `keep` of the chain; base versions and pinned ones stay."""
    alive = [v for v in dict.fromkeys(reversed(deployment.chain)) if v not in deployment.retired and deployment.release(v).run_id is not None][:keep]
    old = [r for r in deployment.releases if r.run_id is not None and not r.pinned and r.version not in (*alive, *deployment.retired)]
    for release in old:
        if server.has(release.model):
            server.delete(release.model)
        logger.info("version %s is retired", release.version)
    if old:
        deployment = replace(deployment, retired=(*deployment.retired, *(r.version for r in old)))
        save_deployment(paths, deployment)
    return deployment
