"""Where a request comes from: whose program sent it, and from which project.

On Linux both are told by the system for a loopback connection: the socket at its other end has an
owner, and its process a working directory. They are looked up once per connection: the owner at
once, the process from `/proc` and off the hot path. One thread answers everything that waits with
one pass, and begins with the processes it found before. Which project a directory belongs to:
`origin.py`.

The owner is a user's number, as the kernel shows it to this process. A container on the host's
network is another user by it, unless it runs as ours: then what is in it is ours. Of a client that
has hung up before it was looked up the kernel names no owner: it may have been another's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from qi_learn.gateway.origin import NOWHERE, Origin, Origins
from qi_learn.outside import tcp_table
from qi_learn.outside.tcp_table import Ends

REMEMBERED = 16
"""Processes that found a client last time and are looked at first."""
ANOTHERS = Origin(left_out="other_user")
"""Where a request of another user's program comes from."""
UNKNOWN = Origin(left_out="unknown_user")
"""Where a request comes from whose client was gone before it was looked up."""


@dataclass(frozen=True, slots=True)
class ClientEnd:
    """The other end of a connection, as far as the system tells."""

    owner: int
    """The user's number."""
    process: str = ""
    """Empty if it cannot be seen."""
    directory: Path | None = None
    """The process's working directory."""


class ClientProjects:
    """The origins of the connected clients."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._answers: WeakKeyDictionary[asyncio.BaseTransport, asyncio.Future[Origin]] = (
            WeakKeyDictionary()
        )
        self._waiting: list[tuple[Ends, asyncio.Future[Origin]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._recent: tuple[str, ...] = ()
        self._gone: Origin | None = None
        """What is said of a client that is gone; None until the first was looked up."""

    def look_up(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look for the origin of a connection, unless that was done before."""
        if transport in self._answers:
            return
        answer: asyncio.Future[Origin] = asyncio.get_running_loop().create_future()
        self._answers[transport] = answer
        ends = _ends(transport)
        owner = self._by_owner(ends)
        if ends is None or owner.left_out:
            answer.set_result(owner)
            return
        self._waiting.append((ends, answer))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def origin(
        self, transport: asyncio.BaseTransport, named: str | None, patience: float
    ) -> Origin:
        """The origin, as far as it is known within `patience` seconds.

        `named` is the directory that the client gives itself: it counts, unless the client is
        another user's.
        """
        answer = self._answers.get(transport)
        if answer is not None and not answer.done():
            await asyncio.wait((answer,), timeout=patience)
        if named is not None and not self._origins.has(named):
            await asyncio.to_thread(self._origins.of, Path(named))
        return self.origin_now(transport, named)

    def origin_now(self, transport: asyncio.BaseTransport, named: str | None) -> Origin:
        """The origin, as far as it is known by now."""
        answer = self._answers.get(transport)
        return self._named(answer.result() if answer and answer.done() else NOWHERE, named)

    def when_known(self, transport: asyncio.BaseTransport, then: Callable[[], None]) -> None:
        """Call `then` as soon as a connection was looked up: now, if it was."""
        answer = self._answers.get(transport)
        if answer is None or answer.done():
            then()
        else:
            answer.add_done_callback(lambda _: then())

    def _named(self, seen: Origin, named: str | None) -> Origin:
        if seen in (ANOTHERS, UNKNOWN) or named is None:
            return seen
        if seen.left_out and not os.path.isabs(named):
            return seen  # a name that says nothing lets nothing in
        return self._origins.of(Path(named))

    async def _look(self) -> None:
        """Answer everything that waits, in as few passes over `/proc` as there are batches."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            origins: dict[Ends, Origin] = {}
            try:
                origins = await self._found([ends for ends, _ in batch])
            finally:
                for ends, answer in batch:
                    answer.set_result(origins.get(ends, NOWHERE))

    async def _found(self, connections: list[Ends]) -> dict[Ends, Origin]:
        if sys.platform != "linux":
            return {}
        clients = await asyncio.to_thread(client_ends, connections, self._recent)
        processes = (client.process for client in clients.values() if client.process)
        self._recent = tuple(dict.fromkeys((*processes, *self._recent)))[:REMEMBERED]
        return await asyncio.to_thread(self._origins_of, clients)

    def _origins_of(self, clients: dict[Ends, ClientEnd]) -> dict[Ends, Origin]:
        found = {}
        for ends, client in clients.items():
            if client.owner != os.geteuid():
                found[ends] = ANOTHERS
            elif client.directory is not None:
                found[ends] = self._origins.of(client.directory)
        return found

    def _by_owner(self, ends: Ends | None) -> Origin:
        """Whether the client is another user's, or gone before it could be asked."""
        if sys.platform != "linux":
            return NOWHERE
        row = tcp_table.listed([ends]).get(ends) if ends is not None else None
        if row is not None and row.held:
            return NOWHERE if row.owner == os.geteuid() else ANOTHERS
        if self._gone is None:
            self._gone = UNKNOWN if owners_are_told() else NOWHERE
        return self._gone


def owners_are_told() -> bool:
    """Whether the system says whose a socket is: it does of one of ours."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as own,
    ):
        ends = (own.getsockname(), server.getsockname())
        row = tcp_table.listed([ends]).get(ends)
        return row is not None and row.held and row.owner == os.geteuid()


def _ends(transport: asyncio.BaseTransport) -> Ends | None:
    """The other end of a connection, and ours; None if it was gone before it was asked about."""
    near, far = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    return (near[:2], far[:2]) if near and far else None


def client_ends(connections: Iterable[Ends], recent: Sequence[str] = ()) -> dict[Ends, ClientEnd]:
    """The other end of each loopback connection, as far as it can be seen.

    `recent` processes are looked at first; none is looked for that is another user's.
    """
    found = tcp_table.listed(connections)
    clients = {ends: ClientEnd(row.owner) for ends, row in found.items() if row.held}
    missing = {
        f"socket:[{row.inode}]": ends
        for ends, row in found.items()
        if row.held and row.owner == os.geteuid()
    }
    for process in _processes(recent):
        if not missing:
            break
        try:
            with os.scandir(f"/proc/{process}/fd") as descriptors:
                held = {os.readlink(entry.path) for entry in descriptors} & missing.keys()
            if held:
                directory = Path(os.readlink(f"/proc/{process}/cwd"))
                for ends in map(missing.pop, held):
                    clients[ends] = ClientEnd(os.geteuid(), process, directory)
        except OSError:
            continue  # gone meanwhile, or not to be looked into
    return clients


def _processes(recent: Sequence[str]) -> Iterator[str]:
    """Every process: the recent ones, then the others from the youngest on."""
    others = (name for name in os.listdir("/proc") if name.isdigit() and name not in recent)
    yield from recent
    yield from sorted(others, key=int, reverse=True)
