"""One connection to the upstream: a request goes out at once, its answer comes in as it is cut.

An answer counts as ended, whole or not, only once nothing reads the client's body any more: who
waits for the answer may read the rest of that body himself.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import AsyncIterable, Callable
from typing import cast

from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from qi_learn.gateway.answer_parser import AnswerParser
from qi_learn.gateway.header_bytes import head_bytes
from qi_learn.gateway.upstream_answer import UpstreamAnswer

PIECE = 128 * 1024
"""Bytes of a long body that are written at once, so that other streams go on."""
_WHOLE = 1024 * 1024
"""Bytes. A longer body goes out in pieces."""
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_AT_ONCE = struct.pack("ii", 1, 0)
"""Has the system end a connection without sending what waits (`SO_LINGER`)."""
Body = bytes | AsyncIterable[bytes] | None


class UpstreamLink(asyncio.Protocol):
    """One connection; `kept` is called with it when it may carry another request."""

    def __init__(self, kept: Callable[[UpstreamLink], None]) -> None:
        self.idle_since = 0.0
        self._kept = kept
        self._parser = AnswerParser()
        self._transport: asyncio.Transport
        self._poll = select.poll()
        self._answer: UpstreamAnswer | None = None
        self._sending: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def ask(
        self, method: str, target: str, headers: CIMultiDict[str], body: Body
    ) -> UpstreamAnswer:
        """Send a request, and return what will be its answer. A long body follows in pieces."""
        answer = self._answer = UpstreamAnswer(self.close, self._read_on)
        self._parser.begin(answer, method)
        head = head_bytes(f"{method} {target} HTTP/1.1", headers)
        if body is None or (isinstance(body, bytes) and len(body) <= _WHOLE):
            self._transport.write(head + body if body else head)
        else:
            self._transport.write(head)
            self._sending = asyncio.create_task(self._send(body, "Content-Length" not in headers))
        return answer

    def close(self) -> None:
        """End the connection at once, whatever is on its way.

        What the server has not read yet is dropped, so that it sees the end and not only the rest.
        """
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent: the server has not left, nor said what was not asked."""
        return not self._transport.is_closing() and not self._poll.poll(0)

    @property
    def heard(self) -> bool:
        """Whether a byte of the newest answer has come."""
        return self._parser.heard

    async def _send(self, body: bytes | AsyncIterable[bytes], chunked: bool) -> None:
        """Write a body piece by piece, as fast as it is read at the other end."""
        try:
            if isinstance(body, bytes):
                view = memoryview(body)
                for start in range(0, len(view), PIECE):
                    await self._write(view[start : start + PIECE])
                    await asyncio.sleep(0)
                return
            async for piece in body:
                await self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                await self._write(b"0\r\n\r\n")
        except (OSError, HttpProcessingError) as error:  # the client's side of it: half a body
            self._conclude(f"the request broke off: {type(error).__name__}")

    async def _write(self, data: bytes | memoryview) -> None:
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # over TLS there is something to read also when nothing was said
        plain = transport.get_extra_info("ssl_object") is None
        number = transport.get_extra_info("socket").fileno()
        self._poll.register(number, _LEFT | (select.POLLIN if plain else 0))

    def data_received(self, data: bytes) -> None:
        """Take what came: heads, pieces of a body, its end."""
        answer = self._answer
        if answer is None:  # nothing was asked
            return self.close()
        wrong = self._parser.feed(data)
        if wrong or self._parser.done:
            return self._conclude("" if self._parser.done else wrong, keep=not wrong)
        if answer.is_full:
            self._transport.pause_reading()
        return answer.tell()

    def eof_received(self) -> None:
        """Let the connection be closed: what ends with it is told by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the answer that nothing more comes: its end, if it has no other."""
        if self._writable is not None:
            self._writable.cancel()
        if exc is None and self._parser.ends_with_connection:
            self._conclude("")
        else:
            self._conclude(f"the connection was closed{f': {exc}' if exc else ''}")

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # the end of an answer

    def _conclude(self, broken: str, *, keep: bool = False) -> None:
        """End the answer (`broken`: why it is not whole), and the connection if it is no good."""
        answer, self._answer = self._answer, None
        sending, self._sending = self._sending, None
        if answer is None:
            return
        self._parser.forget()
        if sending is None or sending.done():
            answer.end(broken)
        else:  # an early answer, or none: the rest of the request is not wanted
            keep = False
            sending.cancel()
            sending.add_done_callback(lambda _: answer.end(broken))
        if not keep or broken or not self._parser.keeps or self._transport.is_closing():
            self.close()
        else:
            self._read_on()
            self._kept(self)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
