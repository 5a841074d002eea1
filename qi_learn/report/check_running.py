"""Checks of what runs: the daemon and its gateway, the server, the recording."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from qi_learn.codec import read_object
from qi_learn.deploy import model_server
from qi_learn.errors import DaemonError, ServerUnreachable
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.port_holder import refuse_taken_port
from qi_learn.outside.silence import Silence
from qi_learn.outside.user_units import manager_problem, manages
from qi_learn.paths import Paths
from qi_learn.report.finding import Finding
from qi_learn.report.running import SILENT_MANAGER, WITHOUT_MANAGER, Running
from qi_learn.report.status_lines import passed_by, project_line
from qi_learn.report.words import counted
from qi_learn.settings import Settings

SAFE_OLLAMA = (0, 17, 1)
"""Older ones leak memory into models made from crafted GGUF files (CVE-2026-7482)."""


def daemon(paths: Paths, settings: Settings, now: Running) -> Iterator[Finding]:
    """The daemon and its gateway, and if there is none, whether the gateway's port is free."""
    if now.daemon is None:
        yield from _no_daemon(now, paths, settings)
        return
    if now.silent_daemon is not None:
        yield _silent("daemon", now.silent_daemon)
    elif now.silent_gateway is None:
        yield Finding(
            "daemon",
            now.serves,
            f"The daemon runs (pid {now.daemon.pid}); the gateway is "
            f"{now.gateway_url if now.serves else 'down'}.",
            "" if now.serves else f"See {paths.logs / 'gateway.log'}.",
        )
    else:
        yield Finding("daemon", True, f"The daemon runs (pid {now.daemon.pid}).")
    if now.silent_gateway is not None:
        yield _silent("gateway", now.silent_gateway)
    for fault in now.parts_at_fault:
        hint = f"It is tried again; {paths.logs / 'daemon.log'} says more."
        yield Finding("daemon", False, f"A part of the daemon does not work: {fault}.", hint)
    for change in now.changed:
        yield Finding("settings", False, change, "`qi-learn daemon restart`")


def _silent(name: str, told: Silence) -> Finding:
    return Finding(name, False, f"{told.what}.", f"{told.todo}.")


def _no_daemon(now: Running, paths: Paths, settings: Settings) -> Iterator[Finding]:
    if now.serves:
        what = (
            "The daemon is not running: nothing is taken in, watched or learned. The gateway goes "
            f"on serving at {now.gateway_url}, and what it records waits."
        )
        yield Finding("daemon", False, what, "`qi-learn daemon start`")
        return
    yield Finding(
        "daemon",
        False,
        "The daemon is not running: nothing is taken in, watched or learned, and there is no "
        "gateway.",
        "`qi-learn daemon start`",
    )
    yield from _port(paths, settings)


def _port(paths: Paths, settings: Settings) -> Iterator[Finding]:
    try:
        refuse_taken_port(paths, settings)
    except DaemonError as error:
        yield Finding("port", False, error.what, error.hint)


def server(paths: Paths, settings: Settings, now: Running) -> Iterator[Finding]:
    """The server that answers: Ollama and its version, or the engine that runs."""
    state = now.daemon
    if now.silent_server is not None:
        yield _silent("server", now.silent_server)
        return
    if state is None and model_server.uses_engine(settings):
        return  # the daemon brings the engine
    url = state.server if state else settings.serve.ollama
    with Ollama(url, timeout=5) as server:
        try:
            version = server.version()
        except ServerUnreachable as error:
            yield Finding("server", False, error.what, error.hint)
            return
    if state is not None and state.engine:
        yield Finding("server", True, f"The embedded engine answers at {url}.")
        return
    numbers = tuple(int(n) for n in version.split("-")[0].split(".")[:3] if n.isdigit())
    old = (0, 0, 0) < numbers < SAFE_OLLAMA  # 0.0.0 is a build of one's own
    hint = (
        "Update Ollama to 0.17.1 or newer: this one leaks memory into models made from crafted "
        "files (CVE-2026-7482)."
    )
    yield Finding("server", not old, f"Ollama {version} answers at {url}.", hint if old else "")


def recording(paths: Paths, settings: Settings, now: Running) -> Iterator[Finding]:
    """Whether the gateway records, as it says itself; without one, whether it would."""
    lost = now.lost
    if lost.count:
        what = (
            f"{counted(lost.count, 'turn')} could not be recorded, the last because: {lost.reason}"
        )
        yield Finding("recording", False, what, "Once you have seen it: `qi-learn status --seen`")
    for words in passed_by(now.gateway):
        hint = "Tell the authors of qi-learn which client it is, or point it at a known path."
        yield Finding("recording", False, f"{words}.", hint)
    if now.serves:
        problem = now.not_recording
    else:
        if paths.gateway_status.exists():
            read_object(paths.gateway_status)  # a damaged file is told
        problem = "" if settings.gateway.record else "gateway.record is false"
    yield Finding(
        "recording",
        not problem,
        f"Recording is off: {problem.rstrip('.')}." if problem else _recorded_when(now),
        _record_again(now, problem),
    )


def _recorded_when(now: Running) -> str:
    if now.silent_gateway is not None:
        return "Recording is on again once the gateway answers."
    return "Recording is on while the gateway is up."


def _record_again(now: Running, problem: str) -> str:
    """What makes it record again."""
    if now.paused:
        return "`qi-learn resume`"
    if "gateway.record" in problem:
        return "Set gateway.record = true."
    return "Once that is mended it records again by itself." if problem else ""


def service(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The services of systemd, if they are installed for this home: whether it can be asked."""
    if not manages(paths):
        return
    if (problem := manager_problem()) is None:
        yield Finding("service", True, "Daemon and gateway are services of systemd.")
        return
    yield Finding(
        "service",
        False,
        SILENT_MANAGER.format(problem),
        WITHOUT_MANAGER,
    )


def watching(paths: Paths, settings: Settings, now: Running) -> Iterator[Finding]:
    """How each project is watched, and when its last change came."""
    for state in now.told.get("projects") or ():
        if not os.path.isdir(str(state.get("project"))):
            continue  # that it is gone is told with the projects
        blind = state.get("mode") == "blind"
        hint = "What it says above is what to mend; until then its saves are not seen."
        yield Finding(
            "watching", not blind, project_line(state, time.time()), hint if blind else ""
        )
