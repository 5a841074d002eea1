"""Whose request is it? On Linux the working directory of the process at the other end of a loopback
connection tells the project.

Looked up once per connection from `/proc` alone, off the hot path: in one thread that answers all
who wait with one look, and looks first at the processes it found before. Unknown (None) where the
process is not ours to see, is gone, or sits in no project: an editor's own directory is often `/`
or the home.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.workspace.registry import load_projects

Address = tuple[str, int]
Ends = tuple[Address, Address]
"""Their end of a connection, and ours."""
REMEMBERED = 16
"""Processes that are looked at first."""


class ClientProjects:
    """The projects of the connected clients."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._found: WeakKeyDictionary[asyncio.BaseTransport, asyncio.Future[str | None]] = (
            WeakKeyDictionary()
        )
        self._waiting: list[tuple[Ends, asyncio.Future[str | None]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._known: tuple[str, ...] = ()

    def look_up(self, transport: asyncio.BaseTransport) -> None:
        """Starts to find out, where that has not been done for this connection."""
        if transport in self._found:
            return
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._found[transport] = answer
        ends = (transport.get_extra_info("peername")[:2], transport.get_extra_info("sockname")[:2])
        self._waiting.append((ends, answer))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def project(self, transport: asyncio.BaseTransport, patience: float) -> str | None:
        """The project as far as it is known within `patience` seconds."""
        answer = self._found.get(transport)
        if answer is not None and not answer.done():
            await asyncio.wait((answer,), timeout=patience)
        return self.project_now(transport)

    def project_now(self, transport: asyncio.BaseTransport) -> str | None:
        """The project as far as it is known."""
        answer = self._found.get(transport)
        return answer.result() if answer is not None and answer.done() else None

    async def _look(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            projects: dict[Ends, str | None] = {}
            try:
                projects = await self._projects([ends for ends, _ in asked])
            finally:
                for ends, answer in asked:
                    answer.set_result(projects.get(ends))

    async def _projects(self, wanted: list[Ends]) -> dict[Ends, str | None]:
        if sys.platform != "linux":
            return {}
        places = await asyncio.to_thread(working_directories, wanted, self._known)
        self._known = tuple(
            dict.fromkeys((*(process for process, _ in places.values()), *self._known))
        )[:REMEMBERED]
        projects = await asyncio.to_thread(
            _projects, self._paths, {place for _, place in places.values()}
        )
        return {ends: projects[place] for ends, (_, place) in places.items()}


def _projects(paths: Paths, places: Iterable[Path]) -> dict[Path, str | None]:
    try:
        registered = load_projects(paths)
    except SettingsError:
        registered = ()
    return {place: project_at(place, registered) for place in places}


def project_at(place: Path, registered: Sequence[Path]) -> str | None:
    """The project that a directory belongs to: the innermost registered one, else its repository,
    else itself; None for the root and the home.
    """
    holding = [project for project in registered if place.is_relative_to(project)]
    if holding:
        return str(max(holding, key=lambda project: len(project.parts)))
    if place in (Path("/"), Path.home()):
        return None
    return str(
        next((parent for parent in (place, *place.parents) if (parent / ".git").exists()), place)
    )


def working_directories(
    wanted: Iterable[Ends], known: Sequence[str] = ()
) -> dict[Ends, tuple[str, Path]]:
    """The process (pid) at the other end of each loopback connection and its directory, as far as
    they can be seen; `known` ones are looked at first.
    """
    missing = _sockets(set(wanted))
    found: dict[Ends, tuple[str, Path]] = {}
    for process in _processes(known):
        if not missing:
            break
        try:
            with os.scandir(f"/proc/{process}/fd") as descriptors:
                held = {os.readlink(entry.path) for entry in descriptors} & missing.keys()
            if held:
                place = Path(os.readlink(f"/proc/{process}/cwd"))
                found |= {missing.pop(socket): (process, place) for socket in held}
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _processes(known: Sequence[str]) -> Iterator[str]:
    yield from known
    yield from sorted(
        (name for name in os.listdir("/proc") if name.isdigit() and name not in known),
        key=int,
        reverse=True,
    )


def _sockets(wanted: set[Ends]) -> dict[str, Ends]:
    """The connections by the name under which their other end stands in its process's list of
    files.
    """
    lines = {
        (_hexadecimal(theirs, wide), _hexadecimal(ours, wide)): (theirs, ours)
        for theirs, ours in wanted
        for wide in (False, True)
    }
    found: dict[str, Ends] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, rows):
            if (ends := lines.get((columns[1], columns[2]))) is not None:
                found[f"socket:[{columns[9]}]"] = ends
    return found


def _hexadecimal(address: Address, wide: bool) -> str:
    """An address as the kernel's tables write it: 32-bit words in the machine's byte order, then
    the port; `wide` for IPv4 within IPv6.
    """
    raw = ipaddress.ip_address(address[0]).packed
    if wide and len(raw) == 4:
        raw = bytes(10) + b"\xff\xff" + raw
    words = (int.from_bytes(raw[k : k + 4], sys.byteorder) for k in range(0, len(raw), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
