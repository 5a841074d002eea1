"""Work that ends with the client that asked for it.

A server learns that a connection was closed only when it comes to the end of what was sent on it.
If it does not read on (a client sent more requests than it takes before it answers), it learns of
it never, and would work for a client that is gone. So the system is asked: twice a second, about
all clients at once.

The end of a connection arrives behind what was sent before. If that is more than the system takes
without a reader, the end stays with the sender. A client of this machine is looked up there, in the
system's list of connections (Linux; elsewhere such a client is noticed once it has been answered).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from qi_learn.outside import tcp_table
from qi_learn.outside.tcp_table import Ends

LOOK_SECONDS = 0.5
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
"""Where the system has no word for "sent its end", it calls that "hung up"."""


class ClientWatch:
    """The clients that something is done for. To be used on one loop."""

    def __init__(self) -> None:
        self._works: dict[asyncio.Task[Any], asyncio.BaseTransport] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def ends_with(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Cancel the task that is in this block once the other end is gone."""
        task = asyncio.current_task()
        assert task is not None
        if transport is None:
            task.cancel()
        else:
            self._works[task] = transport
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._works.pop(task, None)

    async def _look(self) -> None:
        """Look every now and then, as long as there is work."""
        while self._works:
            await asyncio.sleep(LOOK_SECONDS)
            seen = _seen(self._works.values())
            self._end(seen.gone)
            if seen.unread:
                closed = await asyncio.to_thread(_closed, list(seen.unread))
                self._end({seen.unread[ends] for ends in closed})

    def _end(self, gone: set[asyncio.BaseTransport]) -> None:
        for task, transport in list(self._works.items()) if gone else ():
            if transport in gone:
                del self._works[task]
                task.cancel()


@dataclass(slots=True)
class _Seen:
    """What the system says of some connections."""

    gone: set[asyncio.BaseTransport] = field(default_factory=set)
    """Those whose other end closed them, also if what it sent before is not read yet."""
    unread: dict[Ends, asyncio.BaseTransport] = field(default_factory=dict)
    """Those with something to read, behind which the end may wait; by the other end of each."""


def _seen(transports: Iterable[asyncio.BaseTransport]) -> _Seen:
    poll, seen = select.poll(), _Seen()
    at: dict[int, asyncio.BaseTransport] = {}
    for transport in transports:
        connection = transport.get_extra_info("socket")
        if transport.is_closing() or (connection is not None and connection.fileno() < 0):
            seen.gone.add(transport)
        elif connection is not None:
            at[connection.fileno()] = transport
            poll.register(connection.fileno(), select.POLLIN | _LEFT)
    for number, events in poll.poll(0) if at else ():
        transport = at[number]
        if events & _LEFT:
            seen.gone.add(transport)
        else:
            theirs, ours = (transport.get_extra_info(name) for name in ("peername", "sockname"))
            seen.unread[theirs[:2], ours[:2]] = transport
    return seen


def _closed(others: Iterable[Ends]) -> list[Ends]:
    """Those ends whose programs have closed them."""
    return [ends for ends, row in tcp_table.listed(others).items() if row.closed]
