"""The gateway's process: `python -m qi_learn.gateway [--upstream URL] [--ready FILE]`.

It listens on loopback, or on the socket that systemd holds for it, puts the gateway's parts
together, and says what it does (own_state.py). It goes on serving when the daemon is gone; it
leaves with the process named by `--parent`, and when its home is gone.

Without `--upstream` it passes on to what the settings name: Ollama, or the embedded engine as soon
as that has said where it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from qi_learn import logs
from qi_learn.errors import EXIT_TRY_AGAIN, QiError, ServerUnreachable, SettingsError
from qi_learn.gateway.admission import Admission
from qi_learn.gateway.client_link import ClientServer, keep_requests_out
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.door import Door
from qi_learn.gateway.event_loop import run
from qi_learn.gateway.guard import Guard
from qi_learn.gateway.header_bytes import keep_header_bytes
from qi_learn.gateway.live_settings import LiveRecord
from qi_learn.gateway.origin import Origins
from qi_learn.gateway.own_state import GatewayState, new_state
from qi_learn.gateway.proxy import Gateway
from qi_learn.gateway.recorder import Recorder
from qi_learn.gateway.routes import RouteFile
from qi_learn.gateway.turn_ids import TurnIds
from qi_learn.gateway.upstream import Upstream
from qi_learn.loopback import ADDRESSES, WITHOUT_CREDENTIALS, holds_credentials
from qi_learn.outside import systemd
from qi_learn.outside.listening import announce, find, read_listening
from qi_learn.outside.process import leave_with
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings

logger = logging.getLogger(__name__)
HEAD_LIMIT = 256 * 1024
"""Longest request line or header field, bytes."""
READ_AHEAD = 256 * 1024
"""Bytes of a client's body that are read at once; twice as many may wait to be passed on."""
GRACE = 1.0
"""Seconds that streams under way have left when the gateway is stopped."""
BEAT_SECONDS = 5.0
"""Seconds between two heartbeats."""
ENGINE_SECONDS = 120.0
"""How long the gateway waits for the engine to say where it listens, before it gives up."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a gateway's process was started for."""

    upstream: str
    paths: Paths
    settings: Settings
    ready: Path | None = None
    engine: bool = False
    """Whether the upstream is the engine's own file's word: another address ends this process."""


async def serve(served: Served, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; say where in the `ready` file once requests are accepted.

    Raises SettingsError for an address that is not loopback, a port that is taken, and an upstream
    that is no URL or the gateway itself.
    """
    with _listening(served.settings) as listener:
        host, port = listener.getsockname()[:2]
        upstream = _checked(served.upstream, port)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        state = new_state(served.paths, url=url, upstream=upstream)
        gateway = _gateway(served, upstream, port, state, stop)
        runner = _runner(Door(gateway, state))
        await runner.setup()
        beat: asyncio.Task[None] | None = None
        try:
            await web.SockSite(runner, listener, backlog=1024).start()
            if served.ready is not None:
                announce(served.ready, url, upstream=upstream)
            systemd.notify(systemd.READY)
            beat = asyncio.create_task(_beat(served, upstream, gateway.recorder, state, stop))
            await stop.wait()
        finally:
            systemd.notify(systemd.LEAVING)
            if beat is not None:
                beat.cancel()
            await runner.cleanup()
            gateway.close()


def _gateway(
    served: Served, upstream: str, port: int, state: GatewayState, stop: asyncio.Event
) -> Gateway:
    """The proxy with its parts."""
    paths, chosen = served.paths, served.settings.gateway
    live = LiveRecord(paths, served.settings)
    return Gateway(
        upstream=Upstream(upstream),
        guard=Guard.for_port(port, chosen.allowed_hosts, chosen.allowed_origins),
        routes=RouteFile(paths.routes),
        recorder=Recorder(paths.spool, state, live, paths.redaction_key),
        clients=ClientProjects(Origins(paths, lambda: live.unregistered)),
        admission=Admission(
            paths.activity, paths.hold, longest_hold=served.settings.idle.longest_hold
        ),
        engine=served.settings.serve.embedded,
        stop=stop,
        ids=TurnIds(paths.turn_ids),
    )


async def _beat(
    served: Served, upstream: str, recorder: Recorder, state: GatewayState, stop: asyncio.Event
) -> None:
    """Say every few seconds that we live, and what has changed; leave if there is no place for us.

    That is a home that was removed, or an engine that came back at another address.
    """
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        recorder.look()
        await asyncio.to_thread(state.beat)  # a disk may take its time
        systemd.notify(systemd.ALIVE)
        if not served.paths.state.is_dir():
            logger.warning("%s is gone, and so is this gateway", served.paths.state)
            stop.set()
        elif served.engine and _engine_moved(served.paths, upstream):
            logger.warning("the engine listens elsewhere now: starting again")
            stop.set()


def _engine_moved(paths: Paths, upstream: str) -> bool:
    engine = read_listening(paths.engine_ready)
    return engine is not None and engine.alive and engine.url != upstream


def _listening(settings: Settings) -> socket.socket:
    """A socket that accepts on a loopback address: systemd's, or one of our own."""
    if (given := systemd.given_socket()) is not None:
        if given.getsockname()[0] not in ADDRESSES.values():
            raise SettingsError(
                f"systemd passed a socket at {given.getsockname()}, which is not loopback.",
                "Write the units again: `qi-learn daemon install`.",
            )
        return given
    host, port = settings.gateway.host, settings.gateway.port
    address = ADDRESSES.get(host)
    if address is None:
        raise SettingsError(
            f"The gateway listens on loopback only, not on {host}: prompts must not leave this "
            "machine.",
            'Set gateway.host = "127.0.0.1".',
        )
    try:
        return socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
    except OSError as error:
        raise SettingsError(
            f"The gateway cannot listen on {address}:{port}: {error}",
            "Stop what listens there, or set gateway.port to another.",
        ) from error


def _checked(upstream: str, port: int) -> str:
    """The upstream's address without a slash at its end, if it is one that can be passed on to."""
    if holds_credentials(upstream):
        raise SettingsError(
            "The address of the server holds a name or a password.",
            f"serve.ollama: {WITHOUT_CREDENTIALS}",
        )
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
        raise SettingsError(
            f"{upstream!r} is no address of a server.", 'It looks like "http://127.0.0.1:11434".'
        )
    if parts.hostname in ADDRESSES and parts.port == port:
        raise SettingsError(
            f"The gateway would pass everything on to itself ({upstream}).",
            "Set serve.ollama to where Ollama listens, usually http://127.0.0.1:11434.",
        )
    return upstream.rstrip("/")


def _has_port(parts: SplitResult) -> bool:
    """Whether an address names a port that there is, or none."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _runner(door: Door) -> web.ServerRunner:
    server = ClientServer(
        door.handle,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        max_line_size=HEAD_LIMIT,
        max_field_size=HEAD_LIMIT,
        max_headers=256,
        read_bufsize=READ_AHEAD,
    )
    return web.ServerRunner(server, handle_signals=False, shutdown_timeout=GRACE)


def _wait_for_engine(paths: Paths) -> str:
    """The engine's address, once it has said it; clients wait meanwhile in systemd's socket.

    Raises ServerUnreachable if it does not in time.
    """
    deadline = time.monotonic() + ENGINE_SECONDS
    while time.monotonic() < deadline:
        if engine := find(paths.engine_ready):
            return engine.url
        systemd.notify(systemd.ALIVE)
        time.sleep(0.1)
    raise ServerUnreachable(
        "The embedded engine does not run: the gateway has nothing to pass requests on to.",
        "The daemon starts it: `qi-learn daemon start`.",
    )


async def _run(options: argparse.Namespace) -> None:
    paths = Paths.default().ensure()
    settings = load_settings(paths.settings_file)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if options.parent:
        leave_with(options.parent)
    # What start-up made stays: to look through it again and again would hold up requests for
    # milliseconds.
    gc.freeze()
    keep_header_bytes()
    await serve(Served(options.upstream, paths, settings, options.ready, options.engine), stop)


def _chosen(options: argparse.Namespace) -> argparse.Namespace:
    """The options, with the upstream that the settings name if none is given."""
    options.engine = False
    if options.upstream is None:
        paths = Paths.default().ensure()
        serve_settings = load_settings(paths.settings_file).serve
        options.engine = serve_settings.embedded
        options.upstream = _wait_for_engine(paths) if options.engine else serve_settings.ollama
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the gateway's process. The exit codes are those of `errors.py`."""
    parser = argparse.ArgumentParser(
        prog="qi_learn.gateway", description="The proxy in front of Ollama."
    )
    parser.add_argument(
        "--upstream", help="base URL of Ollama or the engine; default: what the settings name"
    )
    parser.add_argument("--ready", type=Path, help="file to write when it accepts")
    parser.add_argument("--parent", type=int, help="pid of the process to leave with")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    logs.configure(Paths.default().logs / "gateway.log")
    logging.getLogger("aiohttp.server").addFilter(keep_requests_out)
    try:
        run(_run(_chosen(options)))
    except QiError as error:
        logger.error("%s", error)
        return error.exit_code
    except OSError as error:
        logger.error("the gateway cannot serve: %s", error)
        return EXIT_TRY_AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
