"""`qi-learn rollback`, around `deploy/rollback`: the server that is up, the event for the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from qi_learn.daemon import client
from qi_learn.daemon.hung import silent_gateway, silent_server
from qi_learn.deploy import model_server, rollback
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import SpoolError
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.silence import gone
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.spool import Spool

ASK_SECONDS = 2.0
"""How long the server may take to answer one question before the rollback goes on without it."""
AT_ONCE = "The gateway answers with it from now on. "
ALIAS_LATER = "The alias on the server follows when the daemon next reaches it."


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """What `qi-learn rollback --json` prints."""

    before: str
    version: str
    model: str
    alias: str
    alias_moved: bool
    dry_run: bool
    seconds: float
    remark: str = ""


def roll_back(
    paths: Paths, settings: Settings, *, version: str | None, dry_run: bool
) -> RollbackReport:
    """Make an earlier version live, or say which one it would be.

    Raises NotFound if there is none.
    """
    started = time.monotonic()
    if dry_run:
        deployment = load_deployment(paths)
        release = rollback.choose(deployment, version)
        return RollbackReport(
            deployment.live,
            release.version,
            release.model,
            deployment.alias,
            alias_moved=False,
            dry_run=True,
            seconds=time.monotonic() - started,
        )
    done, silence = _switch(paths, settings, version)
    seconds = time.monotonic() - started
    remark = "" if done.alias_moved else f"{silence}{_gateway_says(paths)}{ALIAS_LATER}"
    return RollbackReport(
        done.before,
        done.version,
        done.model,
        done.alias,
        done.alias_moved,
        dry_run=False,
        seconds=seconds,
        remark=remark + _record(paths, done, seconds),
    )


def _switch(
    paths: Paths, settings: Settings, version: str | None
) -> tuple[rollback.RolledBack, str]:
    """What was done, and that the server hangs, as a sentence."""
    url, engine, store = _server(paths, settings)
    if url is None:
        return rollback.roll_back(paths, None, version=version), ""
    if (silence := silent_server(paths, url, engine=engine)) is not None:
        hangs = silence != gone(url, engine=engine)  # that it is not there is told by what follows
        told = f"{silence.line}. " if hangs else ""
        return rollback.roll_back(paths, None, version=version), told
    with Ollama(url, timeout=ASK_SECONDS) as server:
        return rollback.roll_back(paths, server, version=version, store=store), ""


def _gateway_says(paths: Paths) -> str:
    """What the gateway does with it, as a sentence; empty if there is none."""
    if "gateway" not in client.listening(paths):
        return ""
    return AT_ONCE if (silence := silent_gateway(paths)) is None else f"{silence.line}. "


def _server(paths: Paths, settings: Settings) -> tuple[str | None, bool, Path | None]:
    """The server that is up, whether it is the engine, and its model store.

    It is the running daemon's, else Ollama.

    No engine is started for this.
    """
    if state := client.running(paths):
        store = paths.models if state.engine else model_server.ollama_store()
        return state.server, state.engine, store
    if model_server.uses_engine(settings):
        return None, False, None
    return settings.serve.ollama, False, model_server.ollama_store()


def _record(paths: Paths, done: rollback.RolledBack, seconds: float) -> str:
    """Write the event for the store; returns what went wrong, or an empty text.

    A full disk must not stop a rollback.
    """
    body = {
        "action": "rolled_back",
        "version": done.version,
        "alias": done.alias,
        "from": done.before,
        "seconds": round(seconds, 3),
    }
    try:
        spool = Spool(paths.spool, "rollback", clock=time.time)
        spool.append("release", body, author="person")
        spool.close()
    except SpoolError as error:
        return f" It could not be written down: {error.what}"
    return ""


def as_text(done: RollbackReport) -> str:
    """The report for a person."""
    if done.dry_run:
        return (
            f"{done.alias} would go from v{done.before} back to v{done.version} ({done.model}). "
            "Nothing was changed."
        )
    return (
        f"{done.alias} is v{done.version} again (it was v{done.before}); {done.seconds:.2f} s."
        + (f"\n{done.remark.strip()}" if done.remark else "")
    )
