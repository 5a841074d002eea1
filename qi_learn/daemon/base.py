"""The base version: made if it is missing, put right at every start; and the file that the live
version's base is served from.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from qi_learn.codec import plain
from qi_learn.deploy import base_version
from qi_learn.deploy.base_version import BaseSource
from qi_learn.deploy.candidate import drop_candidates
from qi_learn.deploy.journal import Deployment, candidate_model, live_runs, load_deployment
from qi_learn.deploy.model_server import ModelServer, base_file
from qi_learn.deploy.version import parse_version
from qi_learn.errors import NotFound, SettingsError
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.settings import Settings
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)


def _tell(paths: Paths, deployment: Deployment) -> None:
    """The event of a new base version, for the store's history and audit."""
    made = deployment.live_release
    spool = Spool(paths.spool, "setup", clock=time.time)
    spool.append(
        "release",
        {
            "action": "base",
            "version": made.version,
            "alias": deployment.alias,
            "release": plain(made),
        },
        id=f"base-{made.version}-{made.created:.0f}",
    )
    spool.close()


def file_of_base(settings: Settings, server: Ollama, deployment: Deployment) -> Path:
    """The file that the live version's base is served from; where it cannot be read, the one that
    the settings name, if it is the same.

    Raises SettingsError where the settings name another base by now: versions of one base say
    nothing about another.
    """
    base = deployment.release(f"{parse_version(deployment.live).major}.0.0")
    if found := served_file(server, base.model):
        return found
    place = base_file(settings, server)
    if base.base_digest and sha256_of(place) != base.base_digest:
        what = f"{place} is not the base of the live version {deployment.live}."
        raise SettingsError(
            what, "Run `qi-learn init` to begin with the new base, or name the old one again."
        )
    return place


def _source(settings: Settings, backend: ModelServer, server: Ollama) -> BaseSource:
    if settings.serve.base and not backend.engine:
        return BaseSource(
            settings.serve.base,
            None,
            (server.weights(settings.serve.base) or "").rpartition("sha256-")[2][:64],
            {},
        )
    gguf = base_file(settings, server)
    return BaseSource("", gguf, sha256_of(gguf), modelfile_for(None, "default").as_create())


def _answer_for(settings: Settings, backend: ModelServer) -> tuple[str, ...]:
    """The names that the live version answers for: the setting, else the base's own."""
    return settings.gateway.answer_for or (
        (settings.serve.base,) if settings.serve.base and not backend.engine else ()
    )


def ensure_base(
    paths: Paths, settings: Settings, backend: ModelServer, *, now: float
) -> Deployment:
    """Version 1.0.0 where it is missing; else routes and alias as the journal wants them, and no
    candidates left over from runs that have ended.

    Raises ServerError where the server does not answer.
    """
    with Ollama(backend.url) as server:
        there = paths.deploy.exists()
        source = BaseSource() if there else _source(settings, backend, server)
        deployment = base_version.ensure_base(
            paths,
            server,
            source,
            alias=settings.serve.alias,
            answer_for=_answer_for(settings, backend),
            store=backend.model_store,
            now=now,
        )
        if not there:
            _tell(paths, deployment)
        going_on = [
            candidate_model(settings.serve.alias, run.run_id)
            for run in run_directories(paths.runs)
            if not run.ended
        ]
        for name in drop_candidates(server, settings.serve.alias, keep=going_on):
            logger.info("deleted %s, left over from a run that has ended", name)
    return deployment


def learned_runs(paths: Paths) -> tuple[str, ...]:
    """The runs behind the live version; none before version 1.0.0 is there."""
    try:
        return live_runs(load_deployment(paths))
    except NotFound:
        return ()
