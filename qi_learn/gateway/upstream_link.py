"""One connection to the upstream: a request goes out at once, its answer comes in as it is cut.

The parser is llhttp, the one of Node (`httptools`), as lenient with servers as aiohttp's client is.
What it does not know is here: an answer that ends with its connection, one to HEAD, and the heads
before the last one (`103 Early Hints`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import cast

from aiohttp.http_exceptions import HttpProcessingError
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from qi_learn.gateway.header_bytes import head_bytes
from qi_learn.gateway.upstream_answer import UpstreamAnswer

HEAD_LIMIT = 1024 * 1024
"""Bytes that the head of an answer may have."""
PIECE = 128 * 1024
"""Bytes of a long body that are written at once, so that other streams go on."""
_WHOLE = 1024 * 1024
"""Bytes. A longer body goes out in pieces."""
Body = bytes | AsyncIterable[bytes] | None


class UpstreamLink(asyncio.Protocol):
    """One connection; `kept` is called with it when it may carry another request."""

    def __init__(self, kept: Callable[[UpstreamLink], None]) -> None:
        self.used = False
        """Whether a request went over it before the one that is asked now."""
        self.idle_since = 0.0
        self._kept = kept
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._transport: asyncio.Transport
        self._answer: UpstreamAnswer | None = None
        self._method = ""
        self._sending: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._forget_head()

    def ask(
        self, method: str, target: str, headers: CIMultiDict[str], body: Body
    ) -> UpstreamAnswer:
        """Send a request, and return what will be its answer. A long body follows in pieces."""
        answer = self._answer = UpstreamAnswer(self.close, self._read_on)
        self._method = method
        head = head_bytes(f"{method} {target} HTTP/1.1", headers)
        if body is None or (isinstance(body, bytes) and len(body) <= _WHOLE):
            self._transport.write(head + body if body else head)
        else:
            self._transport.write(head)
            self._sending = asyncio.create_task(self._send(body, "Content-Length" not in headers))
        return answer

    def close(self) -> None:
        """End the connection at once, whatever is on its way."""
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent, as far as the system has told."""
        return not self._transport.is_closing()

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
            self._break_off(f"the request broke off: {type(error).__name__}")
            self.close()

    async def _write(self, data: bytes | memoryview) -> None:
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what came: heads, pieces of a body, its end."""
        answer = self._answer
        if answer is None:  # nothing was asked
            return self.close()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._break_off(f"what came is no HTTP: {type(error).__name__}")
            self.close()
        if not answer.status:
            self._head_length += len(data)
            if self._head_length > HEAD_LIMIT:
                self._break_off("the head of the answer has no end")
                self.close()
        answer.tell()
        if self._done:
            self._finish()

    def eof_received(self) -> None:
        """Let the connection be closed: what ends with it is told by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the answer that nothing more comes: its end, if it has no other."""
        if self._sending is not None:
            self._sending.cancel()
        if self._writable is not None:
            self._writable.cancel()
        answer = self._answer
        if answer is not None:
            if answer.status and self._ends_with_connection and exc is None:
                answer.end()
            self._break_off(f"the connection was closed{f': {exc}' if exc else ''}")
            answer.tell()
            self._answer = None

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._done:
            raise HttpParserError("more came than was asked for")

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_is_whole:  # else it is a trailer
            self._headers.append((_text(name), _text(value)))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        answer = self._answer
        if self._interim or answer is None:
            return
        self._head_is_whole = True
        answer.reason = _text(self._reason)
        answer.headers = CIMultiDict(self._headers)
        answer.status = status
        coding = answer.headers.get("Transfer-Encoding", "").lower()
        length = "Content-Length" in answer.headers
        self._ends_with_connection = not (coding.endswith("chunked") or (length and not coding))
        if self._method == "HEAD":
            self._end(keep=False)  # llhttp waits for the body that the head tells of

    def on_body(self, piece: bytes) -> None:
        if self._answer is not None and not self._done and self._answer.put(piece):
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._interim:
            self._forget_head()
        elif not self._done:
            self._end(keep=self._parser.should_keep_alive())

    # the end of an answer

    def _end(self, *, keep: bool) -> None:
        assert self._answer is not None
        self._answer.end()
        self._done, self._keeps = True, keep

    def _finish(self) -> None:
        """Get ready for another request, or leave if this one left the connection in between."""
        self._answer = None
        unsent = self._sending is not None and not self._sending.done()
        if unsent or not self._keeps or self._transport.is_closing():
            return self.close()
        self._read_on()
        self._forget_head()
        self._sending, self.used = None, True
        return self._kept(self)

    def _forget_head(self) -> None:
        self._headers: list[tuple[str, str]] = []
        self._reason = b""
        self._head_length = 0
        self._head_is_whole = self._interim = self._done = self._keeps = False
        self._ends_with_connection = False

    def _break_off(self, reason: str) -> None:
        if self._answer is not None:
            self._answer.break_off(reason)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def _text(raw: bytes) -> str:
    """A part of a head, with a byte that is no UTF-8 kept as aiohttp keeps it."""
    return raw.decode("utf-8", "surrogateescape")
