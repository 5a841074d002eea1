"""Work that ends with the client that asked for it.

A server learns that a connection was closed only when it comes to the end of what was sent on it.
If it does not read on (a client sent more requests than it takes before it answers), it learns of
it never, and would work for a client that is gone. So the system is asked: twice a second, about
all clients at once.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK_SECONDS = 0.5
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
"""Where the system has no word for "sent its end", it calls that "hung up"."""


class ClientWatch:
    """The clients that something is done for. To be used on one loop."""

    def __init__(self) -> None:
        self._works: dict[asyncio.Task[Any], asyncio.BaseTransport] = {}
        self._due: asyncio.TimerHandle | None = None

    @contextmanager
    def ends_with(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Cancel the task that is in this block once the other end is gone."""
        task = asyncio.current_task()
        assert task is not None
        if transport is None:
            task.cancel()
        else:
            self._works[task] = transport
            self._look_later()
        try:
            yield
        finally:
            self._works.pop(task, None)

    def _look_later(self) -> None:
        if self._works and self._due is None:
            self._due = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._due = None
        gone = set(_gone(self._works.values()))
        for task, transport in list(self._works.items()) if gone else ():
            if transport in gone:
                del self._works[task]
                task.cancel()
        self._look_later()


def _gone(transports: Iterable[asyncio.BaseTransport]) -> Iterator[asyncio.BaseTransport]:
    """Those whose other end closed them, also if what it sent before is not read yet."""
    poll = select.poll()
    at: dict[int, asyncio.BaseTransport] = {}
    for transport in transports:
        connection = transport.get_extra_info("socket")
        if transport.is_closing() or (connection is not None and connection.fileno() < 0):
            yield transport
        elif connection is not None:
            at[connection.fileno()] = transport
            poll.register(connection.fileno(), _LEFT)
    yield from (at[number] for number, _ in (poll.poll(0) if at else ()))
