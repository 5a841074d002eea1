"""The base version: made if it is missing, and put right at every start and when it is missed.

Also the file that the live version's base is served from.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from qi_learn.codec import plain
from qi_learn.deploy import base_version
from qi_learn.deploy.base_version import BaseSource
from qi_learn.deploy.candidate import drop_candidates
from qi_learn.deploy.journal import Deployment, candidate_model, load_deployment
from qi_learn.deploy.model_server import ModelServer, base_file
from qi_learn.deploy.taint import runs_trained_on
from qi_learn.deploy.version import parse_version
from qi_learn.errors import NotFound, ServerError, SettingsError
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.settings import Settings
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)
RETRY_SECONDS = (2.0, 2.0, 2.0, 5.0, 15.0, 30.0)
"""Least seconds between two tries to make the server agree with deploy.json, by how many failed."""


LOOK_SECONDS = 5.0
"""Seconds between two looks at what the gateway says that it misses."""


class BaseKeeper:
    """Keeps version 1.0.0, routes and alias as deploy.json wants them; for the daemon's loop."""

    def __init__(self, paths: Paths, settings: Settings, model_server: ModelServer) -> None:
        self._paths = paths
        self._settings = settings
        self._model_server = model_server
        self._tried_at = float("-inf")
        self._agreed_on = 0
        self._missed: frozenset[str] = frozenset()
        """The models that the gateway missed when it was last put right."""
        self._look_at = float("-inf")
        self._failed = 0
        self.ready = False
        """Whether the server has agreed once."""

    def agree(self, now: float) -> None:
        """Put things right if the journal has changed, or the gateway misses what it routes to.

        Tried again until the server answers.
        """
        journal = self._journal_time()
        if (self.ready and journal == self._agreed_on and not self._is_missed()) or (
            time.monotonic() - self._tried_at
            < RETRY_SECONDS[min(self._failed, len(RETRY_SECONDS) - 1)]
        ):
            return
        self._tried_at = time.monotonic()
        try:
            ensure_base(self._paths, self._settings, self._model_server, now=now)
        except ServerError as error:
            self._failed += 1
            self._agreed_on = 0
            logger.warning("routes and alias wait for the server: %s", error.what)
        else:
            self._failed = 0
            # not the time it has now: another process may have changed it since
            self.ready, self._agreed_on = True, journal

    def _is_missed(self) -> bool:
        """Whether the gateway misses a model that it did not miss before."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        missed = frozenset(missed_models(self._paths.gateway_status))
        new, self._missed = bool(missed - self._missed), missed
        return new

    def _journal_time(self) -> int:
        try:
            return self._paths.deploy.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def missed_models(state: Path) -> set[str]:
    """The models that the gateway routes to and that the server does not have, as it last said."""
    try:
        told = json.loads(state.read_bytes())
        return {str(each["model"]) for each in told["missing"]}
    except (OSError, ValueError, TypeError, KeyError):
        return set()  # there is none, or it is damaged: doctor tells that


def ensure_base(
    paths: Paths, settings: Settings, model_server: ModelServer, *, now: float
) -> Deployment:
    """Make version 1.0.0 if it is missing; else put routes and alias right by the journal.

    The candidates left over from runs that have ended are deleted. Raises ServerError if the server
    does not answer.
    """
    with Ollama(model_server.url) as server:
        exists = paths.deploy.exists()
        source = BaseSource()
        if not exists or base_version.lost_base(load_deployment(paths), server) is not None:
            source = base_source(settings, model_server, server)
        deployment = base_version.ensure_base(
            paths,
            server,
            source,
            alias=settings.serve.alias,
            answer_for=answered_names(settings, model_server),
            store=model_server.model_store,
            now=now,
        )
        if not exists:
            announce_base(paths, deployment)
        _drop_left_over(paths, settings, server)
    return deployment


def _drop_left_over(paths: Paths, settings: Settings, server: Ollama) -> None:
    """Delete the candidates of runs that have ended."""
    alias = settings.serve.alias
    going_on = [
        candidate_model(alias, run.run_id) for run in run_directories(paths.runs) if not run.ended
    ]
    for name in drop_candidates(server, alias, keep=going_on):
        logger.info("deleted %s, left over from a run that has ended", name)


def announce_base(paths: Paths, deployment: Deployment) -> None:
    """Write the event of a new base version, for the store's history and audit."""
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


def base_source(settings: Settings, model_server: ModelServer, server: Ollama) -> BaseSource:
    """What the settings name as the base. Raises ServerError, also if the server lacks it."""
    if settings.serve.base and not model_server.engine:
        weights = _weights_of(settings.serve.base, server)
        return BaseSource(settings.serve.base, None, weights.rpartition("sha256-")[2][:64], {})
    gguf = base_file(settings, server)
    return BaseSource("", gguf, sha256_of(gguf), modelfile_for(None, "default").as_create())


def _weights_of(base: str, server: Ollama) -> str:
    try:
        return server.weights(base) or ""
    except ServerError as error:
        if error.status != 404 or server.has(base):
            raise
        raise ServerError(
            f"The server at {server.base_url} has no model {base}.",
            f"`ollama pull {base}` gets it.",
            error.status,
        ) from error


def answered_names(settings: Settings, model_server: ModelServer) -> tuple[str, ...]:
    """The names that the live version answers for: the setting, else the base's own."""
    return settings.gateway.answer_for or (
        (settings.serve.base,) if settings.serve.base and not model_server.engine else ()
    )


def file_of_base(settings: Settings, server: Ollama, deployment: Deployment) -> Path:
    """The file that the live version's base is served from.

    If it cannot be read, the one that the settings name, provided it is the same.

    Raises SettingsError if the settings name another base by now: versions of one base say nothing
    about another.
    """
    base = deployment.release(f"{parse_version(deployment.live).major}.0.0")
    if served := served_file(server, base.model):
        return served
    path = base_file(settings, server)
    if base.base_digest and sha256_of(path) != base.base_digest:
        raise SettingsError(
            f"{path} is not the base of the live version {deployment.live}.",
            "Run `qi-learn init` to begin with the new base, or name the old one again.",
        )
    return path


def learned_runs(paths: Paths) -> tuple[str, ...]:
    """The runs behind the version that is trained on; none before version 1.0.0 is there."""
    try:
        return runs_trained_on(load_deployment(paths))
    except NotFound:
        return ()
