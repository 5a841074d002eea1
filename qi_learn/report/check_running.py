"""Checks of what runs: the daemon and its gateway, the server, the recording."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from qi_learn.daemon import client
from qi_learn.deploy import model_server
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.report.finding import Finding
from qi_learn.report.status import gateway_status, recorder_problem
from qi_learn.settings import Settings

SAFE_OLLAMA = (0, 17, 1)
"""Older ones leak memory into models made from crafted GGUF files (CVE-2026-7482)."""


def daemon(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The daemon and its gateway, and if there is none, whether the gateway's port is free."""
    state = client.running(paths)
    if state is None:
        yield Finding(
            "daemon",
            False,
            "The daemon is not running: nothing is taken in, watched or learned, and there is no "
            "gateway.",
            "qi-learn daemon start",
        )
        yield from _port(settings)
        return
    answer = client.call(paths.socket, {"do": "status"}, timeout=5)
    gateway = str(answer.get("gateway") or "")
    yield Finding(
        "daemon",
        bool(gateway),
        f"The daemon runs (pid {state.pid}); the gateway is {gateway or 'down'}.",
        "" if gateway else f"See {paths.logs / 'gateway.log'}.",
    )


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.gateway.host, settings.gateway.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            yield Finding(
                "port",
                False,
                f"The gateway cannot listen on {host}:{port}: {error.strerror}.",
                "Stop what listens there, or set gateway.port.",
            )


def server(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The server that answers: Ollama and its version, or the engine that runs."""
    state = client.running(paths)
    if state is None and model_server.uses_engine(settings):
        return  # the daemon brings the engine
    url = state.server if state else settings.serve.ollama
    with Ollama(url, timeout=5) as server:
        version = server.version()
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


def recording(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Whether the gateway records, or would."""
    problem = recorder_problem(settings, gateway_status(paths))
    yield Finding(
        "recording",
        not problem,
        f"Recording is off: {problem}." if problem else "Recording is on while the gateway is up.",
        "Set gateway.record = true, or make room on the disk." if problem else "",
    )
