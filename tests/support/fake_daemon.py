"""What other processes see of a daemon, without one: its lock, `daemon.json` and its socket."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qi_learn.daemon.control import Control
from qi_learn.paths import Paths, home_mark

STATE = {
    "pid": os.getpid(),
    "gateway": "http://127.0.0.1:1",
    "server": "http://127.0.0.1:2",
    "engine": True,
    "started": 1.5,
}


@contextmanager
def holding_the_lock(paths: Paths) -> Iterator[None]:
    with paths.daemon_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def gateway(paths: Paths, **said: Any) -> Iterator[str]:
    """A gateway's own route on a real port, and nothing behind it; its URL."""
    paths.ensure()
    state = {"home": home_mark(paths), "recording": True, "reason": None} | said

    class Route(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(state).encode()
            self.send_response(200 if self.path == "/qi/state" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Route) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def daemon(
    paths: Paths,
    *,
    up: bool = True,
    waiting: str = "",
    recorder: Mapping[str, Any] | None = None,
    condition: Mapping[str, Any] | None = None,
    before: Callable[[], object] = lambda: None,
    **said: Any,
) -> Iterator[str]:
    """A process that holds the lock and answers as the daemon does; its gateway's URL.

    `recorder`: what the gateway says of itself; `up`: whether there is one; `before`: what it waits
    for before it answers.
    """
    with gateway(paths, **(recorder or {})) as url:
        paths.daemon_state.write_text(json.dumps(STATE | {"gateway": url, "server": url} | said))
        told = {"gateway": url if up else None, "waiting": waiting, **(condition or {})}
        with holding_the_lock(paths):
            control = Control(paths.socket, lambda _: (before(), told)[1])
            yield url
            control.close()
