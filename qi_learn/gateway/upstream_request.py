"""A request to the upstream, which goes out at once and as a whole.

aiohttp writes a body in a task of its own, before Python 3.12 a round of the loop after its head
was made ready. The body of a question is there already, so head and body are one piece here, and
are written before anything else is done. A body in pieces (`LongBody`, what is only passed on) goes
aiohttp's way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import aiohttp
from aiohttp import payload
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict, istr

AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add to a request that does not have them; here none is added."""


class UpstreamRequest(aiohttp.ClientRequest):
    """One request."""

    _skip_auto_headers = CIMultiDict[None]((istr(name), None) for name in AUTOMATIC)

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add nothing."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request. Raises ClientConnectionResetError if the connection is closing."""
        body, protocol = self._body, conn.protocol
        whole = type(body) is payload.BytesPayload and self._continue is None
        if not whole or body is None or protocol is None or protocol.writing_paused:
            return await super().send(conn)
        writer = StreamWriter(protocol, self.loop)
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await writer.write_eof(await body.as_bytes())
        protocol.start_timeout()
        answer = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            stream_writer=writer,
        )
        cast(Any, self).response = answer  # aiohttp declares it as None
        return answer
