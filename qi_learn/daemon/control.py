"""The daemon's door: a unix socket in the runtime directory.

One JSON line goes in, one JSON line comes out, then the connection ends.

Only the same user may speak (the peer's uid is checked if the system tells it, the socket is 0600
in a 0700 directory). Each connection has a thread, so that a slow or silent client keeps no other
waiting; whatever a client sends, the door stays open. Nothing but starting a cycle and stopping
needs the daemon, so callers treat `DaemonError` as "not running" and go on without it if they can.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qi_learn.daemon.client import LIMIT, PROTOCOL, RESTART, read_line, refusal, short_address
from qi_learn.errors import DaemonError, QiError

logger = logging.getLogger(__name__)
_SILENCE = 5.0
"""Seconds that a client may keep a connection open without a byte."""

_LOOK_SECONDS = 10.0
"""So often the listening thread looks whether it is to end, should a system's `shutdown` of a
socket that listens wake nobody.
"""

Answer = Callable[[dict[str, Any]], Mapping[str, Any]]


class Control:
    """The open door, which listens in threads of its own.

    `answer(request)` runs there: it must be thread-safe, and refuses by raising a QiError.

    The caller holds the daemon lock: a socket that is there already belongs to no living process.
    Raises DaemonError if none can be made.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path = path
        self._server = _Server(answer)
        try:
            path.unlink(missing_ok=True)
            with short_address(path) as address:
                self._server.socket.bind(address)
            path.chmod(0o600)
            self._server.server_activate()
        except OSError as error:
            self._server.server_close()
            raise DaemonError(
                f"The control socket {path} cannot be made: {error}",
                "Check who owns its directory; QI_LEARN_HOME names another, shorter one.",
            ) from error
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and remove the socket; an answer under way is not waited for."""
        self._closing.set()
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        """Answer until closed; the thread sleeps until someone asks."""
        while not self._closing.is_set():
            self._server.handle_request()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    timeout = _LOOK_SECONDS

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__("", _Connection, bind_and_activate=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log it, in place of a traceback on the terminal.

        A client that left or said nothing is no fault.
        """
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("control: a client is gone: %s", error)
        else:
            logger.error("control: a request failed", exc_info=error)


class _Connection(socketserver.StreamRequestHandler):
    timeout = _SILENCE
    server: _Server

    def handle(self) -> None:
        if not _same_user(self.connection):
            logger.warning("control: another user was turned away")
            return
        line = self.rfile.readline(LIMIT + 1)
        if line:
            self.wfile.write(json.dumps(self._reply(line)).encode("ascii") + b"\n")

    def _reply(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = read_line(line)
        except ValueError as error:
            return {"error": f"The request is no line of JSON: {error}."}
        if request.get("protocol") != PROTOCOL:
            return {"error": "This daemon speaks another version.", "todo": RESTART}
        try:
            return self.server.answer(request)
        except QiError as error:
            return refusal(error)


def _same_user(link: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's 0600 mode in a 0700 directory is the guard there
    _, uid, _ = struct.unpack(
        "3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return bool(uid == os.getuid())
