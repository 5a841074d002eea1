"""The gateway's port, held by the daemon while gateways come and go.

As systemd does it: the daemon listens and never accepts, the gateway inherits the socket. A request
that comes while the gateway is started again waits in the kernel and is answered by the next one.
If a gateway of a daemon that was killed has the port, there is nothing to hold.
"""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import suppress

from qi_learn.daemon.hand_over import handed_over
from qi_learn.loopback import ADDRESSES
from qi_learn.settings import Settings

logger = logging.getLogger(__name__)
BACKLOG = 1024
_INHERIT = """
import os, sys
fd = int(sys.argv[1])
os.dup2(fd, 3)
if fd != 3:
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A shell could not: one of them takes no descriptor above 9."""


class HeldPort:
    """The socket; it is made when the first gateway is started."""

    def __init__(self, settings: Settings) -> None:
        self._host = ADDRESSES.get(settings.gateway.host, "")
        self._port = settings.gateway.port
        self._socket = self._taken_over()
        self.handed = self._socket is not None
        """Whether it was held before, by the daemon that this one takes the place of."""

    def fileno(self) -> int | None:
        """The listening socket's descriptor; None if the port cannot be held."""
        if self._socket is None and self._host:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            with suppress(OSError):  # another has it: the gateway finds that out, and says so
                self._socket = socket.create_server(
                    (self._host, self._port), family=family, backlog=BACKLOG
                )
        return None if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Let go of it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def detach(self) -> int | None:
        """Give the descriptor away."""
        held, self._socket = self._socket, None
        return None if held is None else held.detach()

    def _taken_over(self) -> socket.socket | None:
        """The socket of the daemon before, if the settings still name its address."""
        fd = handed_over("port")
        if fd is None:
            return None
        try:
            held = socket.socket(fileno=fd)
            host, port = held.getsockname()[:2]
        except OSError as error:
            logger.warning("the gateway's port was not handed over: %s", error)
            return None
        if host == self._host and self._port in (0, port):
            return held
        held.close()
        return None


def inheriting(fd: int, command: list[str]) -> list[str]:
    """The command, started so that it finds the socket as systemd would pass it."""
    return [sys.executable, "-I", "-S", "-c", _INHERIT, str(fd), *command]
