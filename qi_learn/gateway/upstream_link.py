"""The connection to the upstream: every body on it ends, as a whole or broken off.

aiohttp notes that what comes is no HTTP (a chunk without a size, more bytes than were announced),
but does not tell the body that is being read, whose reader then waits for ever. It also drops an
answer whose head came in one piece with such bytes. So the head is handed over apart from what
follows it, and a body that has no end when the connection has one is told so.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

_HEAD_ENDS = b"\r\n\r\n"
_INTERIM = b"HTTP/1.1 1"
"""How the head of an answer begins that is not the last one (`103 Early Hints`)."""


class UpstreamConnector(aiohttp.TCPConnector):
    """Makes connections of this kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no other way to name the protocol of its connections
        self._factory = cast(Any, functools.partial(UpstreamLink, loop=self._loop))


class UpstreamLink(ResponseHandler):
    """One connection."""

    _in_head = False
    _seen = b""
    """The last bytes of a head that is not whole yet."""

    def set_response_params(self, **params: Any) -> None:
        """Begin to read an answer."""
        self._in_head, self._seen = True, b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came: a head first, then what follows it."""
        while self._in_head and (end := self._head_end(data)):
            super().data_received(data[:end])
            data = data[end:]
            if not data:
                return self._tell_body()
        super().data_received(data)
        return self._tell_body()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, if reading was paused: aiohttp asks for it with every piece that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the body that nothing more comes."""
        body = self._payload
        super().connection_lost(exc)
        _break_off(body, exc or ConnectionError("the connection was closed"))

    def _head_end(self, data: bytes) -> int:
        """Where the head ends in what came; 0 if it does not."""
        head = self._seen + data
        at = head.find(_HEAD_ENDS)
        if at < 0:
            self._seen = head[-3:]
            return 0
        self._in_head = not self._seen and data.startswith(_INTERIM)
        end = at + len(_HEAD_ENDS) - len(self._seen)
        self._seen = b""
        return end

    def _tell_body(self) -> None:
        """Break the body off if what came was no HTTP."""
        if (error := self.exception()) is not None:
            _break_off(self._payload, error)


def _break_off(body: aiohttp.StreamReader | None, error: BaseException) -> None:
    """End a body that has no end yet."""
    if body is not None and not body.is_eof() and body.exception() is None:
        broken = aiohttp.ClientPayloadError(f"the answer broke off: {type(error).__name__}")
        broken.__cause__ = error
        body.set_exception(broken)
