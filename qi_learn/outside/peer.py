"""Work that ends with the client that asked for it.

A server learns that a connection was closed only when it comes to the end of what was sent on it.
If it does not read on (a client sent more requests than it takes before it answers), it learns of
it never, and would work for a client that is gone. So the system is asked.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.5
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
"""Where the system has no word for "sent its end", it calls that "hung up"."""


def has_left(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the other end closed the connection, also if what it sent before is not read yet."""
    if transport is None or transport.is_closing():
        return True
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return connection is not None
    poll = select.poll()
    poll.register(connection.fileno(), _LEFT)
    return bool(poll.poll(0))


@contextmanager
def ends_with(transport: asyncio.BaseTransport | None) -> Iterator[None]:
    """Cancel the task that is in this block once the other end is gone."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    due: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal due
        if has_left(transport):
            task.cancel()
        else:
            due = loop.call_later(LOOK_SECONDS, look)

    due = loop.call_later(LOOK_SECONDS, look)
    try:
        yield
    finally:
        if due is not None:
            due.cancel()
