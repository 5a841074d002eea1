"""First steps: a configuration, a registered project and version 1.0.0.

It also says in words what will be recorded, in which directories, and how to stop it. What is there
already stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from qi_learn.commands.connect import gateway_address, model_name
from qi_learn.commands.hooks import script_of
from qi_learn.daemon import client
from qi_learn.daemon.base import announce_base, answered_names, base_source, ensure_base
from qi_learn.daemon.children import ENGINE_SECONDS, engine_process
from qi_learn.daemon.hung import refuse_silent_server
from qi_learn.deploy import base_version
from qi_learn.deploy.journal import Deployment
from qi_learn.deploy.model_server import ModelServer, model_server_of, uses_engine
from qi_learn.errors import NotFound, SettingsError
from qi_learn.outside import git
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.outside.mounts import refuse_shared_home
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.silence import hanging
from qi_learn.paths import Paths, replace_file
from qi_learn.settings import Settings
from qi_learn.settings_file import commented_defaults
from qi_learn.workspace.registry import add_project, remove_project


def initialise(paths: Paths, settings: Settings, directory: Path) -> Iterator[str]:
    """Do what is missing, and yield a line on each thing done.

    Raises SettingsError if `directory` cannot be a project.
    """
    if not directory.is_dir():
        raise SettingsError(f"{directory} is not a directory.", "Give the directory of a project.")
    refuse_full_home(paths)
    paths.ensure()
    refuse_shared_home(paths)  # the daemon would not start there
    project = _project_root(directory).resolve()
    added = add_project(paths, project)  # first: nothing is done for what cannot be one
    if new := not paths.settings_file.exists():
        replace_file(paths.settings_file, commented_defaults())
        yield f"Wrote {paths.settings_file} (every key with its default)."
    if hint := _ollama_hint(settings):
        yield hint
    yield f"{project} is {'now' if added else 'already'} watched."
    deployment = _base(paths, settings)
    yield f"{deployment.alias} is version {deployment.live} ({deployment.live_release.model})."
    if new or added:
        yield from recording_text(paths, settings)
    else:
        yield "Nothing was changed; `qi-learn status` says what it does, `qi-learn config` how."
    yield _daemon_says(paths)


def _daemon_says(paths: Paths) -> str:
    """Whether the daemon has taken the project up, as far as it answers."""
    if not client.locked(paths):
        return "Start the daemon with `qi-learn daemon start`."
    if (state := client.running(paths)) is None:
        return "The daemon is starting, and takes it up then."
    if not client.answers(paths):
        return f"{hanging('daemon', state.pid).line}."
    return "The daemon runs and has taken it up."


def _project_root(directory: Path) -> Path:
    """The git repository of a directory, or itself: also if only the whole home is a repository."""
    top = git.top(directory)
    return directory if top is None or top in (Path.home(), Path(top.anchor)) else top


def forget_project(paths: Paths, directory: Path) -> str:
    """Take a project off the list, and say so; the directory may be gone.

    Raises NotFound if it is not on it.
    """
    top = _project_root(directory) if directory.is_dir() else directory
    for project in (directory.absolute(), top):
        if remove_project(paths, project):
            return f"{project} is no longer watched. What was recorded stays."
    raise NotFound(
        f"{directory.absolute()} is not a registered project.", "`qi-learn status` lists them."
    )


def recording_text(paths: Paths, settings: Settings) -> Iterator[str]:
    """What is recorded, in which directories, how to look at it and how to stop it.

    Also what to point tools at.
    """
    yield "Recorded, while the daemon runs:"
    yield from _gateway_text(settings)
    yield "  - what becomes of their code in files saved in this project, and in its commits"
    hooks = script_of("bash").parent
    yield f"  - commands that test, build or deploy, if your shell loads a hook of {hooks}"
    yield "    (`qi-learn hooks install bash`, zsh or fish, has it load one)"
    yield (
        "Secrets of known shapes are removed before anything enters the database; the spool, from "
        "which it is filled, holds them until its files are deleted."
    )
    yield f"Kept on this machine: {paths.data} (database, models), {paths.state} (spool, logs)."
    yield "Look at it with `qi-learn log`."
    yield (
        "Stop it for a while with `qi-learn pause 30m`, wholly with `qi-learn daemon stop`, for "
        "one request with the header `x-qi-learn-record: 0`, for the gateway with `record = false` "
        f"under [gateway] in {paths.settings_file}, which counts at once."
    )
    address = gateway_address(settings, client.running(paths))
    yield (
        f"Point your tools at {address or 'the address that `qi-learn daemon start` prints'} and "
        f"ask for the model `{model_name(settings)}`."
    )


def _gateway_text(settings: Settings) -> Iterator[str]:
    """What is recorded of the requests, and of which."""
    if settings.gateway.record is False:
        yield "  - nothing of what passes through the gateway (gateway.record is false)"
        return
    what = "questions and answers" if settings.gateway.record is True else "times and counts"
    yield f"  - {what} that pass through the gateway, of models that run here:"
    if settings.capture.unregistered:
        yield "    from every directory (capture.unregistered is true)"
    else:
        yield (
            "    those asked in a registered project. Those asked elsewhere pass and are not "
            "recorded (`capture.unregistered = true` records them too)"
        )
    yield (
        "    those of a program whose directory says nothing (many editors start in the home or in "
        "their own): what is neither found in a registered project nor rated within a day keeps "
        "its times and counts, and loses its texts"
    )


def _ollama_hint(settings: Settings) -> str:
    """The advice to name a base if an Ollama is up and none of its models is named; else empty.

    Without it the embedded engine would take Ollama's place without a word.
    """
    if settings.serve.backend != "auto" or settings.serve.base:
        return ""
    with Ollama(settings.serve.ollama, timeout=2.0) as server:
        models = [m.name for m in server.models()] if server.reachable() else []
    if not models:
        return ""
    return (
        f"Ollama answers at {settings.serve.ollama}: to learn on one of its models, set "
        f'serve.base, for example base = "{models[0]}"; without it the embedded model serves.'
    )


def _base(paths: Paths, settings: Settings) -> Deployment:
    """The live deployment, its base version made if it is missing.

    An engine is started for it if none runs.
    """
    state = client.running(paths)
    if state is not None or not uses_engine(settings):
        url = state.server if state is not None else settings.serve.ollama
        refuse_silent_server(paths, url, engine=state is not None and state.engine)
        engine_url = state.server if state and state.engine else None
        return _with_base(paths, settings, model_server_of(settings, paths, engine_url))
    engine = engine_process(paths, settings)
    engine.start()
    try:
        engine_url = engine.wait_ready(ENGINE_SECONDS)
        return _with_base(paths, settings, model_server_of(settings, paths, engine_url))
    finally:
        engine.stop()


def _with_base(paths: Paths, settings: Settings, model_server: ModelServer) -> Deployment:
    """Version 1.0.0, or the next major version if the settings name another base by now.

    The next major version is made from that other base.
    """
    deployment = ensure_base(paths, settings, model_server, now=time.time())
    with Ollama(model_server.url) as server:
        source = base_source(settings, model_server, server)
        digest = next(r.base_digest for r in deployment.releases if r.version == deployment.live)
        if not digest or source.digest == digest:
            return deployment
        deployment = base_version.new_base(
            paths,
            server,
            source,
            answer_for=answered_names(settings, model_server),
            store=model_server.model_store,
            now=time.time(),
        )
    announce_base(paths, deployment)
    return deployment
