"""First steps: a configuration, a registered project, version 1.0.0. What is there already stays."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from qi_learn.deploy import release
from qi_learn.deploy.candidate import drop_candidates
from qi_learn.deploy.journal import Deployment, candidate_model, live_runs, load_deployment
from qi_learn.errors import NotFound, SettingsError
from qi_learn.outside import git
from qi_learn.outside.gguf_file import sha256_of
from qi_learn.outside.ollama import Ollama
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.paths import Paths, replace_file
from qi_learn.report.configuration import commented_defaults
from qi_learn.serve import backend as backends
from qi_learn.serve import background
from qi_learn.serve.backend import Backend
from qi_learn.serve.projects import add_project
from qi_learn.settings import Settings
from qi_learn.store.rundir import run_directories

logger = logging.getLogger(__name__)


def initialise(paths: Paths, settings: Settings, place: Path) -> Iterator[str]:
    """Does what is missing and says it line by line. Raises SettingsError where `place` is no directory."""
    if not place.is_dir():
        raise SettingsError(f"{place} is not a directory.", "Give the directory of a project.")
    paths.ensure()
    if not paths.settings_file.exists():
        replace_file(paths.settings_file, commented_defaults())
        yield f"Wrote {paths.settings_file} (every key with its default)."
    project = git.top(place) or place.absolute()
    added = add_project(paths, project)
    yield f"{project} is {'now' if added else 'already'} watched."
    deployment = _base(paths, settings)
    yield f"{deployment.alias} is version {deployment.live} ({deployment.live_release.model})."
    yield "Start the daemon with `qi-learn daemon start`." if not background.locked(paths) else "The daemon runs and has taken it up."


def _base(paths: Paths, settings: Settings) -> Deployment:
    state = background.running(paths)
    if state is not None:
        return load_deployment(paths)
    if not backends.uses_engine(settings):
        return ensure_base(paths, settings, backends.backend_of(settings, paths, None), now=time.time())
    engine = backends.engine_child(paths, settings)
    engine.start()
    try:
        return ensure_base(paths, settings, backends.backend_of(settings, paths, engine.wait_ready(backends.ENGINE_SECONDS)), now=time.time())
    finally:
        engine.stop()


def ensure_base(paths: Paths, settings: Settings, backend: Backend, *, now: float) -> Deployment:
    """Version 1.0.0 where it is missing; else routes and alias as the journal wants them, and no candidates left over from runs that have ended.

    Raises ServerError where the server does not answer.
    """
    named = bool(settings.serve.base) and not backend.engine
    with Ollama(backend.url) as server:
        gguf = None if named or paths.deploy.exists() else backends.base_file(settings, server)
        deployment = release.ensure_base(
            paths,
            server,
            alias=settings.serve.alias,
            base_model=settings.serve.base if named else "",
            gguf=gguf,
            digest=sha256_of(gguf) if gguf else "",
            spec={} if gguf is None else modelfile_for(None, "default").as_create(),
            answer_for=settings.gateway.answer_for or ((settings.serve.base,) if named else ()),
            store=backend.model_store,
            now=now,
        )
        going_on = [candidate_model(settings.serve.alias, run.run_id) for run in run_directories(paths.runs) if not run.ended]
        for name in drop_candidates(server, settings.serve.alias, keep=going_on):
            logger.info("deleted %s, left over from a run that has ended", name)
    return deployment


def learned_runs(paths: Paths) -> tuple[str, ...]:
    """The runs behind the live version; none before version 1.0.0 is there."""
    try:
        return live_runs(load_deployment(paths))
    except NotFound:
        return ()
