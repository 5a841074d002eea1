"""The two children that serve: the gateway and the embedded engine."""

from __future__ import annotations

import importlib.util

from qi_learn.daemon.held_port import HeldPort
from qi_learn.daemon.supervisor import SupervisedProcess
from qi_learn.errors import ToolMissing
from qi_learn.outside.installation import OR_OLLAMA, how_to_add
from qi_learn.paths import Paths
from qi_learn.settings import Settings

ENGINE_SECONDS = 60.0
"""How long the engine may take to load its library and look through its models."""
GATEWAY_SECONDS = 20.0


def gateway_process(
    paths: Paths, upstream: str, held_port: HeldPort | None = None
) -> SupervisedProcess:
    """The gateway's process in front of the server `upstream`, not started yet."""
    return SupervisedProcess(
        "qi_learn.gateway",
        [],
        ready=paths.gateway_ready,
        log=paths.logs / "gateway.log",
        outlives=True,
        upstream=upstream,
        health="/qi/state",
        held_port=held_port,
    )


def engine_process(
    paths: Paths, settings: Settings, *, outlives: bool = False
) -> SupervisedProcess:
    """The engine's process, not started yet.

    Raises ToolMissing if llama-cpp-python is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise ToolMissing(
            "The embedded engine needs llama-cpp-python, which is not installed.",
            f"{how_to_add('embedded')}; {OR_OLLAMA}.",
        )
    arguments = ["--host", "127.0.0.1", "--port", "0"]
    arguments += ["--models", str(paths.models), "--context", str(settings.serve.context)]
    return SupervisedProcess(
        "qi_learn.engine",
        arguments,
        ready=paths.engine_ready,
        log=paths.logs / "engine.log",
        outlives=outlives,
        health="/api/version",
    )
