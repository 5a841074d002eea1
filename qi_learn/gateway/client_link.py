"""The connections of clients.

A client may send its end before it has read the answer (`nc -N`, some health checks). aiohttp would
take it for gone and answer nothing. Here such a connection stays for `PATIENCE` seconds, if no
model is asked: a client that asks one and sends its end is taken for gone, as Ollama takes it,
because a model must not work for a client that has left.

What is no HTTP goes into no log: the bytes that a parser stumbles on may be a part of a prompt or
of a client's credentials, and aiohttp would log them with a traceback.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from qi_learn.gateway.endpoint import NEED_A_MODEL, endpoint_of

PATIENCE = 10.0
"""Seconds that an answer may take once its client has sent its end."""


class ClientServer(web.Server):
    """Makes connections of this kind."""

    def __call__(self) -> RequestHandler:
        return ClientLink(self, loop=self._loop, **self._kwargs)


class ClientLink(RequestHandler):
    """One connection."""

    __slots__ = ("_newest",)
    _newest: tuple[Any, Any]
    """The request that came last, and its body."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._newest = self._messages[-1]

    def eof_received(self) -> None:
        """Keep the connection for the answer, or (the result says so) let it be closed."""
        if self.transport is None or not self._waits_for_an_answer():
            return None
        self.close()  # after the answer
        asyncio.get_running_loop().call_later(PATIENCE, self.transport.close)
        return cast(None, True)  # aiohttp's type leaves out what asyncio's protocols may say

    def _waits_for_an_answer(self) -> bool:
        """Whether a request that asks no model was sent whole, and is not answered yet."""
        newest = getattr(self, "_newest", None)
        idle = self._waiter is not None and not self._waiter.done()
        if newest is None or idle:
            return False
        message, body = newest
        target = getattr(message, "path", None)  # what is no HTTP has none
        return body.is_eof() and (target is None or not _asks_a_model(target))


def _asks_a_model(target: str) -> bool:
    return endpoint_of(target) in NEED_A_MODEL


def keep_requests_out(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: of a request that is no HTTP only that it was refused."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg = "a request that is no HTTP was refused (%s)"
        record.args = (type(error).__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
