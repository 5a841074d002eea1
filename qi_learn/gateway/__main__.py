"""The gateway's process: `python -m qi_learn.gateway --upstream URL [--ready FILE] [--parent PID]`.

It listens on loopback, puts the gateway's parts together, and leaves with the process that started
it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from qi_learn.errors import QiError, SettingsError
from qi_learn.gateway.admission import Admission
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.event_loop import run
from qi_learn.gateway.guard import Guard
from qi_learn.gateway.proxy import Gateway
from qi_learn.gateway.recorder import Recorder
from qi_learn.gateway.routes import RouteFile
from qi_learn.loopback import ADDRESSES
from qi_learn.outside.process import leave_with
from qi_learn.paths import Paths, replace_file
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings

logger = logging.getLogger(__name__)
HEAD_LIMIT = 256 * 1024
"""Longest request line or header field, bytes."""
GRACE = 1.0
"""Seconds that streams under way have left when the gateway is stopped."""
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add to a request that does not have them."""


async def serve(
    upstream: str,
    paths: Paths,
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Path | None = None,
) -> None:
    """Serve until `stop` is set; write `{"url", "pid"}` to `ready` once requests are accepted.

    Raises SettingsError for an address that is not loopback, a port that is taken, and an upstream
    that is no URL or the gateway itself.
    """
    chosen = settings.gateway
    with _listening(chosen.host, chosen.port) as listener:
        host, port = listener.getsockname()[:2]
        upstream = _checked(upstream, port)
        recorder = Recorder(paths.spool, paths.gateway_status, enabled=chosen.record)
        async with _session() as session:
            gateway = Gateway(
                upstream=upstream,
                session=session,
                guard=Guard.for_port(port, chosen.allowed_hosts, chosen.allowed_origins),
                routes=RouteFile(paths.routes),
                recorder=recorder,
                clients=ClientProjects(paths),
                admission=Admission(
                    paths.activity, paths.hold, longest_hold=settings.idle.longest_hold
                ),
                stop=stop,
            )
            runner = _runner(gateway)
            await runner.setup()
            try:
                await web.SockSite(runner, listener, backlog=1024).start()
                if ready is not None:
                    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
                    replace_file(ready, json.dumps({"url": url, "pid": os.getpid()}) + "\n")
                await stop.wait()
            finally:
                await runner.cleanup()
                gateway.admission.close()
                recorder.close()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that accepts on a loopback address."""
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
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"{upstream!r} is no address of a server.", 'It looks like "http://127.0.0.1:11434".'
        )
    if parts.hostname in ADDRESSES and parts.port == port:
        raise SettingsError(
            f"The gateway would pass everything on to itself ({upstream}).",
            "Set serve.ollama to where Ollama listens, usually http://127.0.0.1:11434.",
        )
    return upstream.rstrip("/")


def _session() -> aiohttp.ClientSession:
    """The client towards the upstream: no limits, no cookies, and nothing added or decompressed."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=3600),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        auto_decompress=False,
        skip_auto_headers=_AUTOMATIC,
        max_line_size=HEAD_LIMIT,
        max_field_size=HEAD_LIMIT,
    )


def _runner(gateway: Gateway) -> web.ServerRunner:
    server = web.Server(
        gateway.handle,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        max_line_size=HEAD_LIMIT,
        max_field_size=HEAD_LIMIT,
        max_headers=256,
    )
    return web.ServerRunner(server, handle_signals=False, shutdown_timeout=GRACE)


async def _run(upstream: str, ready: Path | None, parent: int | None) -> None:
    paths = Paths.default().ensure()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if parent:
        leave_with(parent)
    # What start-up made stays: to look through it again and again would hold up requests for
    # milliseconds.
    gc.freeze()
    await serve(upstream, paths, load_settings(paths.settings_file), stop=stop, ready=ready)


def main(arguments: Sequence[str]) -> int:
    """Run the gateway's process. The exit codes are those of `errors.py`."""
    parser = argparse.ArgumentParser(
        prog="qi_learn.gateway", description="The proxy in front of Ollama."
    )
    parser.add_argument(
        "--upstream", required=True, help="base URL of Ollama or the embedded engine"
    )
    parser.add_argument("--ready", type=Path, help="file to write when it accepts")
    parser.add_argument("--parent", type=int, help="pid of the process to leave with")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        run(_run(options.upstream, options.ready, options.parent))
    except QiError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
