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
    """One answer. `status` is 0 until its head has come.

    `let_go` gives its connection up, `read_on` goes on reading from it.
    """

    def __init__(self, let_go: Callable[[], None], read_on: Callable[[], None]) -> None:
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
        if waited >= READ_AHEAD:
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
        self._let_go()

    @property
    def is_full(self) -> bool:
        """Whether so much of the body waits that no more is to be read."""
        return self._waiting >= READ_AHEAD

    def begin(self, status: int, reason: str, headers: CIMultiDict[str]) -> None:
        """Take the head."""
        self.status, self.reason, self.headers = status, reason, headers

    def put(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self._waiting += len(piece)

    def end(self, broken: str) -> None:
        """Note that nothing more comes, and why the answer is not whole; empty if it is."""
        if broken:
            self._broken = self._broken or broken
        else:
            self._ended = True
        self._let_go = self._read_on = _nothing
        self.tell()

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


def _nothing() -> None:
    """What is left to be done for an answer that has ended."""
