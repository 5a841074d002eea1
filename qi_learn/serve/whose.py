"""Whose request is it? On Linux the working directory of the process at the other end of a loopback connection tells the project.

Looked up once per connection, in a thread, from `/proc` alone. Unknown (None) where the process is not ours to see, is gone, or sits in no project:
an editor's own directory is often `/` or the home.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.serve.projects import load_projects

Address = tuple[str, int]


class Clients:
    """The projects of the connected clients."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lookups: WeakKeyDictionary[asyncio.BaseTransport, asyncio.Task[str | None]] = WeakKeyDictionary()

    def look_up(self, transport: asyncio.BaseTransport) -> None:
        """Starts to find out, where that has not been done for this connection."""
        if transport not in self._lookups:
            ours, theirs = transport.get_extra_info("sockname")[:2], transport.get_extra_info("peername")[:2]
            self._lookups[transport] = asyncio.create_task(asyncio.to_thread(project_at, self._paths, theirs, ours))

    async def project(self, transport: asyncio.BaseTransport, patience: float) -> str | None:
        """The project as far as it is known within `patience` seconds."""
        lookup = self._lookups.get(transport)
        if lookup is None:
            return None
        if not lookup.done():
            await asyncio.wait((lookup,), timeout=patience)
        return self.project_now(transport)

    def project_now(self, transport: asyncio.BaseTransport) -> str | None:
        """The project as far as it is known."""
        lookup = self._lookups.get(transport)
        return lookup.result() if lookup is not None and lookup.done() and not lookup.cancelled() else None


def project_at(paths: Paths, theirs: Address, ours: Address) -> str | None:
    """The project of the process that holds the end `theirs` of a connection to `ours`."""
    place = working_directory(theirs, ours) if sys.platform == "linux" else None
    if place is None:
        return None
    try:
        registered = [project for project in load_projects(paths) if place.is_relative_to(project)]
    except SettingsError:
        registered = []
    if registered:
        return str(max(registered, key=lambda project: len(project.parts)))
    if place in (Path("/"), Path.home()):
        return None
    return str(next((parent for parent in (place, *place.parents) if (parent / ".git").exists()), place))


def working_directory(theirs: Address, ours: Address) -> Path | None:
    """The directory of the process at the other end of a loopback connection; None where it cannot be seen."""
    inode = _inode(theirs, ours)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for process in _newest_first(name for name in os.listdir("/proc") if name.isdigit()):
        try:
            with os.scandir(f"/proc/{process}/fd") as descriptors:
                if any(os.readlink(entry.path) == wanted for entry in descriptors):
                    return Path(os.readlink(f"/proc/{process}/cwd"))
        except OSError:
            continue  # gone meanwhile, or another user's
    return None


def _inode(theirs: Address, ours: Address) -> str | None:
    ends = {(_hexadecimal(theirs, wide), _hexadecimal(ours, wide)) for wide in (False, True)}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if (columns[1], columns[2]) in ends:
                return columns[9]
    return None


def _hexadecimal(address: Address, wide: bool) -> str:
    """An address as the kernel's tables write it: 32-bit words in the machine's byte order, then the port; `wide` for IPv4 within IPv6."""
    raw = ipaddress.ip_address(address[0]).packed
    if wide and len(raw) == 4:
        raw = bytes(10) + b"\xff\xff" + raw
    words = (int.from_bytes(raw[k : k + 4], sys.byteorder) for k in range(0, len(raw), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _newest_first(processes: Iterable[str]) -> list[str]:
    return sorted(processes, key=int, reverse=True)
