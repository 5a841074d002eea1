"""What systemd gives to a service and wants to hear of it; without systemd nothing happens.

It holds the listening socket (`LISTEN_FDS`), and it is told by datagrams that the service is ready,
is alive, or leaves (`NOTIFY_SOCKET`). Both are a few lines of the protocol of sd_listen_fds(3) and
sd_notify(3), so no library is needed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

FIRST_FD = 3
READY, ALIVE, LEAVING = "READY=1", "WATCHDOG=1", "STOPPING=1"


def given_socket(env: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The first listening socket that systemd passed to this process; None if it passed none."""
    if env.get("LISTEN_PID") != str(os.getpid()):
        return None
    try:
        count = int(env.get("LISTEN_FDS", "0"))
    except ValueError:
        return None
    if count < 1:
        return None
    os.set_inheritable(FIRST_FD, False)
    return socket.socket(fileno=FIRST_FD)


def notify(state: str, env: Mapping[str, str] = os.environ) -> bool:
    """Tell systemd; False if nobody asked for it, or it does not hear."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":  # the abstract name space
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.sendto(state.encode("utf-8"), address)
    except OSError:
        return False
    return True
