"""An upstream's answer, as far as it has come: its head, and the pieces of its body.

Its connection (`upstream_link.py`) puts in what comes; `relay.py` takes it out. Every answer ends,
as a whole or broken off: a reader never waits on a connection that is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from multidict import CIMultiDict

from qi_learn.errors import ServerError

READ_AHEAD = 128 * 1024
"""Bytes of a body that may wait to be taken; the connection is not read on meanwhile."""


class BrokenOff(ServerError):
    """The upstream left, or sent what is no HTTP, before its answer was whole."""


class UpstreamAnswer:
    """One answer. `status` is 0 until its head has come."""

    def __init__(self, let_go: Callable[[], None], read_on: Callable[[], None]) -> None:
        """`let_go` gives the connection up, `read_on` goes on reading from it."""
        self.status = 0
        self.reason = ""
        self.headers: CIMultiDict[str] = CIMultiDict()
        self._pieces: list[bytes] = []
        self._waiting = 0
        """Bytes of the pieces."""
        self._ended = False
        self._broken = ""
        """Why nothing more comes."""
        self._news: asyncio.Future[None] | None = None
        self._let_go = let_go
        self._read_on = read_on

    async def head(self) -> None:
        """Wait for status and headers. Raises BrokenOff."""
        while not self.status:
            await self._wait()

    async def more(self) -> tuple[list[bytes], bool]:
        """What has come, cut as the upstream cut it, and whether that was the end.

        Waits only while nothing is there. Raises BrokenOff once all that came has been taken.
        """
        while not (self._pieces or self._ended):
            await self._wait()
        pieces, self._pieces, waited = self._pieces, [], self._waiting
        self._waiting = 0
        if waited >= READ_AHEAD and not self._ended:
            self._read_on()
        return pieces, self._ended

    @property
    def has_come(self) -> bool:
        """Whether some of the body is there, or all of it."""
        return bool(self._pieces) or self._ended

    def close(self) -> None:
        """Break the answer off, which tells the upstream to generate no more.

        Without effect on one that has come to its end.
        """
        if not self._ended:
            self._let_go()

    def put(self, piece: bytes) -> bool:
        """Take a piece of the body; whether enough of it waits now."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        return self._waiting >= READ_AHEAD

    def end(self) -> None:
        """Note that the body is whole."""
        self._ended = True

    def break_off(self, reason: str) -> None:
        """Note that nothing more comes, though the body is not whole."""
        if not self._ended:
            self._broken = self._broken or reason

    def tell(self) -> None:
        """Wake the reader: something has come."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _wait(self) -> None:
        """Wait until something comes. Raises BrokenOff if nothing will."""
        if self._broken:
            raise BrokenOff(self._broken)
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None
