"""A long body on its way to the upstream: written piece by piece, so that other streams go on.

aiohttp's own way for that copies the whole body first, which alone holds up the loop for
milliseconds.
"""

from __future__ import annotations

import asyncio

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

PIECE = 128 * 1024


class LongBody(Payload):
    """Bytes that are written in pieces, and never copied as a whole."""

    _autoclose = True  # there is nothing to close

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._body)
        for start in range(0, len(view), PIECE):
            await writer.write(view[start : start + PIECE])
            await asyncio.sleep(0)
