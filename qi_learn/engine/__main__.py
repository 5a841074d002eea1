"""The embedded engine: llama.cpp behind Ollama's API, for machines without Ollama.

    python -m qi_learn.engine --models DIR [--host 127.0.0.1] [--port 0] [--context 4096]
                              [--ready FILE] [--parent PID] [--threads N]

It is one process, on loopback only. FILE (`{"url", "pid"}`) is renamed into place once requests are
accepted. The process ends on SIGTERM or SIGINT, and when its parent is gone. Its log, if that is
the home's own, it turns over itself; nothing is logged of an answer that went well.

The parts: `app` has the routes and the guard. `library`, `show`, `blobs` and `create` answer about
models on disk, over `lookup` and `model_store`. `chat` answers with text: `ask` reads the request
and renders it by the model's template (tools as `called_tools` makes them), `models` keeps models
in memory, `generate` and `sampling` make the tokens, in the form that `answer_schema` reads from
the request. `answer_parts` tells text, thoughts and calls apart, `formats` and `replies` write what
goes over the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from qi_learn import logs
from qi_learn.engine.app import build_app
from qi_learn.engine.lookup import Engine
from qi_learn.engine.model_store import ModelStore
from qi_learn.engine.models import LoadedModels
from qi_learn.errors import QiError, SettingsError
from qi_learn.loopback import is_loopback_address
from qi_learn.outside import listening
from qi_learn.outside.llama_cpp_library import load_library
from qi_learn.outside.llguidance import WORK_STACK
from qi_learn.outside.process import leave_with
from qi_learn.paths import Paths

logger = logging.getLogger(__name__)
_TICK = 1.0
"""Seconds between two sweeps for models whose time is over, and the grace for answers at a stop."""


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """How the process was started."""

    host: str
    port: int
    models: Path
    context: int
    ready: Path | None = None
    parent: int | None = None
    threads: int | None = None


def parse_arguments(words: Sequence[str]) -> EngineArguments:
    """The command line. Raises SettingsError for a host that is not this machine."""
    parser = argparse.ArgumentParser(
        prog="qi_learn.engine", description="llama.cpp behind Ollama's API, on loopback"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port; see --ready")
    parser.add_argument(
        "--models", type=Path, required=True, help="the model store, in Ollama's layout"
    )
    parser.add_argument(
        "--context", type=int, default=4096, help="tokens, if neither request nor model says"
    )
    parser.add_argument("--ready", type=Path, help="written once requests are accepted")
    parser.add_argument("--parent", type=int, help="end when this process is no longer the parent")
    parser.add_argument("--threads", type=int, help="default: every core this process may use")
    arguments = EngineArguments(**vars(parser.parse_args(words)))
    if arguments.host != "localhost" and not is_loopback_address(arguments.host):
        raise SettingsError(
            f"--host {arguments.host} is not a loopback address",
            "prompts must not leave this machine: use 127.0.0.1",
        )
    return arguments


async def serve(arguments: EngineArguments) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end.

    Answers under way have a moment more, then they are broken off.
    """
    load_library()
    store = ModelStore(arguments.models)
    models = LoadedModels(store, arguments.context, arguments.threads)
    runner = web.AppRunner(
        build_app(Engine(store, models)),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_TICK,
    )
    await runner.setup()
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    listener = socket.create_server((arguments.host, arguments.port), family=family, backlog=128)
    try:
        await web.SockSite(runner, listener).start()
        announce(arguments, listener.getsockname()[1])
        await _until_stopped(models, arguments)
    finally:
        await runner.cleanup()
        await models.close()


def announce(arguments: EngineArguments, port: int) -> None:
    """Log the engine's address, and write it to `--ready`."""
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = f"http://{host}:{port}"
    logger.info("listening on %s, models in %s", url, arguments.models)
    if arguments.ready:
        listening.announce(arguments.ready, url)


async def _until_stopped(models: LoadedModels, arguments: EngineArguments) -> None:
    """Sweep the models in memory until a signal comes, or the parent's end sends one.

    An engine whose home was deleted leaves too.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if arguments.parent is not None:
        leave_with(arguments.parent)
    home = arguments.ready.parent if arguments.ready else arguments.models
    while not stop.is_set() and (home.is_dir() or arguments.ready is None):
        await models.sweep()
        try:
            await asyncio.wait_for(stop.wait(), _TICK)
        except TimeoutError:
            continue


def main(words: Sequence[str] | None = None) -> int:
    """Run the engine's process. The exit codes are those of `errors.py`."""
    os.umask(0o077)  # what people ask and teach is theirs alone
    threading.stack_size(WORK_STACK)
    logs.configure(Paths.default().logs / "engine.log")
    try:
        asyncio.run(serve(parse_arguments(sys.argv[1:] if words is None else words)))
    except QiError as error:
        logger.error("%s", error)
        return error.exit_code
    except OSError as error:
        logger.error("the engine cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
