"""First steps: a configuration, a registered project, version 1.0.0.

What is there already stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from qi_learn.daemon import client
from qi_learn.daemon.base import _answer_for, _source, _tell, ensure_base
from qi_learn.daemon.supervisor import ENGINE_SECONDS, engine_process
from qi_learn.deploy import base_version
from qi_learn.deploy.journal import Deployment
from qi_learn.deploy.model_server import ModelServer, model_server_of, uses_engine
from qi_learn.errors import SettingsError
from qi_learn.outside import git
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths, replace_file
from qi_learn.settings import Settings
from qi_learn.settings_file import commented_defaults
from qi_learn.workspace.registry import add_project


def initialise(paths: Paths, settings: Settings, place: Path) -> Iterator[str]:
    """Does what is missing and says it line by line.

    Raises SettingsError where `place` is no directory.
    """
    if not place.is_dir():
        raise SettingsError(f"{place} is not a directory.", "Give the directory of a project.")
    paths.ensure()
    if not paths.settings_file.exists():
        replace_file(paths.settings_file, commented_defaults())
        yield f"Wrote {paths.settings_file} (every key with its default)."
    if hint := _ollama_hint(settings):
        yield hint
    project = git.top(place) or place.absolute()
    added = add_project(paths, project)
    yield f"{project} is {'now' if added else 'already'} watched."
    deployment = _base(paths, settings)
    yield f"{deployment.alias} is version {deployment.live} ({deployment.live_release.model})."
    yield (
        "Start the daemon with `qi-learn daemon start`."
        if not client.locked(paths)
        else "The daemon runs and has taken it up."
    )


def _ollama_hint(settings: Settings) -> str:
    """Where an Ollama is up and no model of its is named, the embedded engine would take its place
    without a word.
    """
    if settings.serve.backend != "auto" or settings.serve.base:
        return ""
    with Ollama(settings.serve.ollama, timeout=2.0) as server:
        models = [m.name for m in server.models()] if server.reachable() else []
    if not models:
        return ""
    how = f'set serve.base, for example base = "{models[0]}"'
    return f"Ollama answers at {settings.serve.ollama}: to learn on one of its models, {how}; without it the embedded model serves."


def _base(paths: Paths, settings: Settings) -> Deployment:
    state = client.running(paths)
    if state is not None or not uses_engine(settings):
        return _with_base(
            paths,
            settings,
            model_server_of(settings, paths, state.server if state and state.engine else None),
        )
    engine = engine_process(paths, settings)
    engine.start()
    try:
        return _with_base(
            paths, settings, model_server_of(settings, paths, engine.wait_ready(ENGINE_SECONDS))
        )
    finally:
        engine.stop()


def _with_base(paths: Paths, settings: Settings, backend: ModelServer) -> Deployment:
    """Version 1.0.0, or, where the settings name another base by now, the next major version from
    that one.
    """
    deployment = ensure_base(paths, settings, backend, now=time.time())
    with Ollama(backend.url) as server:
        source = _source(settings, backend, server)
        known = next(r.base_digest for r in deployment.releases if r.version == deployment.live)
        if not known or source.digest == known:
            return deployment
        deployment = base_version.new_base(
            paths,
            server,
            source,
            answer_for=_answer_for(settings, backend),
            store=backend.model_store,
            now=time.time(),
        )
    _tell(paths, deployment)
    return deployment
