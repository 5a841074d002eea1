"""What a coding tool has to be given: the gateway's address and the model's name."""

from __future__ import annotations

from qi_learn.daemon import client
from qi_learn.daemon.client import DaemonState, Started, StopResult
from qi_learn.daemon.hung import silent_gateway, silent_server
from qi_learn.deploy.model_server import uses_engine
from qi_learn.paths import Paths
from qi_learn.settings import Settings


def model_name(settings: Settings) -> str:
    """The name to ask for: on Ollama the one that tools already use, else the alias.

    `:latest` is understood, so it is left out.
    """
    if not uses_engine(settings) and settings.serve.base:
        return (settings.gateway.answer_for or (settings.serve.base,))[0]
    return settings.serve.alias.removesuffix(":latest")


def gateway_address(settings: Settings, state: DaemonState | None) -> str:
    """The gateway's URL: the running one's, else the settings'.

    Empty if it is not running and takes a free port at every start.
    """
    if state is not None and state.gateway:
        return state.gateway
    return settings.gateway.url


def started_text(settings: Settings, started: Started) -> str:
    """What `qi-learn daemon start` says.

    The engine's own port is not named: no tool has ever used it.
    """
    state = started.state
    words = "The daemon was running already" if started.already else "The daemon runs"
    running = f"{words} (pid {state.pid}). Point your tools at {state.gateway}"
    if state.engine:
        return f"{running} and ask for the model `{model_name(settings)}`."
    return f"{running} instead of {state.server}."


def silence_text(paths: Paths, state: DaemonState) -> str:
    """That the gateway or the server behind it does not answer, a line each; empty if they do."""
    told = (silent_gateway(paths), silent_server(paths, state.server, engine=state.engine))
    return "\n".join(f"{silence.line}." for silence in told if silence is not None)


def stopped_text(stopped: StopResult) -> str:
    """What `qi-learn daemon stop` says."""
    if stopped.forced:
        return f"The daemon hung and was {stopped.forced}; nothing that was recorded is lost."
    if stopped.daemon:
        return "The daemon has stopped."
    if not stopped.left:
        return "The daemon was not running."
    verb = "has" if len(stopped.left) == 1 else "have"
    return f"The daemon was not running; its {' and '.join(stopped.left)} {verb} stopped."


def interrupted_text(paths: Paths, *, stopping: bool) -> str:
    """How the daemon stands when Ctrl-C cuts off a start, or the stop of a restart."""
    if stopping and client.locked(paths):
        return (
            "The daemon was told to stop and goes on with that; then nothing runs until "
            "`qi-learn daemon start`."
        )
    if stopping:
        return "The daemon has stopped and was not started again: `qi-learn daemon start`."
    if (state := client.running(paths)) is not None:
        return f"The daemon runs (pid {state.pid})."
    if client.locked(paths):
        return "The daemon goes on starting; `qi-learn daemon status` shows how it stands."
    return "The daemon may be starting still; `qi-learn daemon status` shows how it stands."
