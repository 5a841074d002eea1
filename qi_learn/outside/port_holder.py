"""Whether a port on loopback is taken, and which process listens there, if the system tells.

Linux says it of processes of the same user; of others, and on macOS, only that it is taken.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qi_learn.errors import DaemonError
from qi_learn.loopback import ADDRESSES
from qi_learn.paths import Paths
from qi_learn.settings import Settings

PROC = Path("/proc")
_LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def taken(host: str, port: int) -> str:
    """By what the port is taken, in words; empty if it is free, or any port would do."""
    address = ADDRESSES.get(host, host)
    if port == 0 or _is_free(address, port):
        return ""
    return next(_holders(port), "another program")


def refuse_taken_port(paths: Paths, settings: Settings) -> None:
    """Raise DaemonError if another program has the gateway's port; it says which, if known."""
    host, port = settings.gateway.host, settings.gateway.port
    if holder := taken(host, port):
        raise DaemonError(
            f"The gateway cannot listen on {host}:{port}: {holder} has that port.",
            f"Stop that, or set another `port` under [gateway] in {paths.settings_file}.",
        )


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _holders(port: int) -> Iterator[str]:
    """The processes that listen on the port, as far as they may be looked at."""
    links = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in PROC.glob("[0-9]*") if links else ():
        with suppress(OSError):
            if any(_link(fd) in links for fd in (process / "fd").iterdir()):
                yield f"{_name(process)} (pid {process.name})"


def _name(process: Path) -> str:
    """What a process is; of one of this program with the home that it is for."""
    words = (process / "cmdline").read_bytes().split(b"\0")
    if any(re.fullmatch(rb"qi_learn(\.\w+)*|(.*/)?qi-learn", word) for word in words):
        with suppress(OSError):
            return f"qi-learn for the home {_home(process)}"
    return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()


def _home(process: Path) -> str:
    env = dict(
        entry.split(b"=", 1)
        for entry in (process / "environ").read_bytes().split(b"\0")
        if b"=" in entry
    )
    home = env.get(b"QI_LEARN_HOME") or b"of " + env.get(b"HOME", b"that user")
    return os.fsdecode(home)


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            lines = (PROC / "self" / "net" / table).read_text(encoding="ascii").splitlines()[1:]
            for fields in map(str.split, lines):
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _link(fd: Path) -> str:
    with suppress(OSError):
        return os.readlink(fd)
    return ""
