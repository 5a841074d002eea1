"""What a new cycle is told: the server, the base, the live version and why it was started."""

from __future__ import annotations

from qi_learn.daemon.base import file_of_base
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.deploy.taint import runs_trained_on, trains_from
from qi_learn.ids import new_id
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.rundir.directory import RunRequest
from qi_learn.settings import Settings


def run_request(
    paths: Paths,
    settings: Settings,
    model_server: ModelServer,
    *,
    now: float,
    reason: str,
    fresh: int,
    asked: bool,
) -> RunRequest:
    """The request of a cycle that starts now.

    Raises NotFound before version 1.0.0 is there, SettingsError if the settings name another base.
    """
    deployment = load_deployment(paths)
    with Ollama(model_server.url) as server:
        base = file_of_base(settings, server, deployment)
    store = model_server.model_store
    return RunRequest(
        run_id=new_id(now),
        server=model_server.url,
        started=now,
        reason=reason,
        seed=settings.train.seed,
        fresh=fresh,
        base_gguf=str(base),
        parent=trains_from(deployment),
        ancestors=runs_trained_on(deployment),
        model_store=None if store is None else str(store),
        engine=model_server.engine,
        asked=asked,
    )
