"""An upstream's answer on its way to the client: the same status, headers and body.

The body passes chunk by chunk, as it comes. It is written through aiohttp's stream writer directly,
because `web.StreamResponse` adds headers of its own and sends one chunk per system call. If the
upstream breaks off, so does the gateway, after everything that came: a client must not take half an
answer for a whole one.
"""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from qi_learn.gateway.encoding import DecodeError, Decoder, decoder_for, is_plain
from qi_learn.gateway.guard import end_to_end
from qi_learn.gateway.question import Sending
from qi_learn.gateway.recorder import RecordedExchange
from qi_learn.gateway.upstream_answer import BrokenOff, UpstreamAnswer
from qi_learn.media_type import LINES, media_type

MODEL_HEADER = "X-Qi-Learn-Model"
"""Tells the client of a routed request which version answered."""
TURN_HEADER = "X-Qi-Learn-Turn"
"""Tells the client of a routed request by which id its turn is recorded."""
_LAST_CHUNK = b"0\r\n\r\n"


class AlreadyAnswered(web.StreamResponse):
    """Tells aiohttp that the answer has been written already."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keeps = keep

    @property
    def keep_alive(self) -> bool:
        return self._keeps

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        return request.writer

    async def write_eof(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Write nothing: there is nothing left."""


class DamagedBody(BrokenOff):
    """An encoded body that cannot be read on; `plain` is what could be, of its last pieces."""

    def __init__(self, plain: list[bytes]) -> None:
        super().__init__("an encoded body that cannot be decoded")
        self.plain = plain


class Relay:
    """One answer.

    `sending` is what was sent for it, if it may be routed. `copy` is there if the exchange is
    recorded. `begun` is what has been read of the answer's body.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        answer: UpstreamAnswer,
        copy: RecordedExchange | None = None,
        sending: Sending | None = None,
        begun: bytes = b"",
    ) -> None:
        content_type = answer.headers.get("Content-Type", "")
        self._request = request
        self._answer = answer
        self._copy = copy
        self._restorer = sending.restorer if sending is not None else None
        self._model = sending.answering if sending is not None else None
        self._begun = begun
        self._headers = end_to_end(answer.headers)
        self._decoder = self._decoder_of(answer)
        self._changes_whole = self._restorer is not None and media_type(content_type) not in LINES
        """A document that is no stream of lines: changed as a whole, so its pieces wait."""
        self._waiting: list[bytes] = []
        self._has_body = request.method != "HEAD" and answer.status not in (204, 304)
        self._chunked = False
        self._started = False
        if self._copy is not None:
            self._copy.begin(answer.status, content_type)

    def _decoder_of(self, answer: UpstreamAnswer) -> Decoder | None:
        """The decoder of an encoded answer that must be read.

        An answer in which a name is put back goes on decoded. What cannot be decoded is passed on
        as it is, and not kept.
        """
        encoding = answer.headers.get("Content-Encoding", "")
        if is_plain(encoding) or (self._copy is None and self._restorer is None):
            return None
        decoder = decoder_for(encoding)
        if decoder is None:
            self._restorer = None
            if self._copy is not None:
                self._copy.exchange.unreadable = True
        elif self._restorer is not None:
            self._headers.popall("Content-Encoding")
            if self._headers.popall("Content-Length", None) and not self._is_stream:
                self._headers["Content-Length"] = "0"  # set anew from the body
        return decoder

    @property
    def _is_stream(self) -> bool:
        return media_type(self._answer.headers.get("Content-Type", "")) in LINES

    async def run(self) -> AlreadyAnswered:
        """Pass the answer on to its end. Raises ConnectionError if the client has left."""
        begun = [self._begun] if self._begun else []
        if not begun and not self._changes_whole and not self._answer.has_come:
            # No body yet: the client learns the status now. Otherwise the head goes out together
            # with the first chunk, in one system call.
            await self._start()
            self._request.writer.send_headers()
        try:
            ended = False
            while not ended:
                pieces, ended = (begun, False) if begun else await self._answer.more()
                begun = []
                if len(pieces) > 1 and not (self._started or self._changes_whole):
                    # the client has the first words before the copy of all is written down
                    first, pieces = pieces[:1], pieces[1:]
                    await self._pass(first, self._decoded(first, False), False)
                    await asyncio.sleep(0)
                await self._pass(pieces, self._decoded(pieces, ended), ended)
        except DamagedBody as damage:
            return await self._break_off([], damage.plain)
        except BrokenOff:
            return await self._break_off([], [])
        return self._done()

    def _done(self) -> AlreadyAnswered:
        keep = self._request.keep_alive and self._request.version >= HttpVersion11
        return AlreadyAnswered(keep=keep)

    async def _pass(self, pieces: list[bytes], plain: list[bytes], ended: bool) -> None:
        """Write some pieces of the body (`plain`: decoded), and its end if this is the end."""
        if self._copy is not None:
            self._copy.take(plain)
            if ended or self._copy.exchange.has_ended():
                await self._copy.finish()  # before the last bytes go out: they may be the last seen
        if self._changes_whole:
            self._waiting += plain
            if not ended:
                return
            pieces = [self._whole()]
        elif self._restorer is not None:
            pieces = [self._restorer.feed(piece) for piece in plain]
            if ended:
                pieces.append(self._restorer.rest())
        if not self._started:
            await self._start()
        data = self._framed(pieces) + (_LAST_CHUNK if ended and self._chunked else b"")
        if data:
            await self._request.writer.write(data)
        else:
            self._request.writer.send_headers()

    def _decoded(self, pieces: list[bytes], ended: bool) -> list[bytes]:
        """The pieces as they are read.

        Raises DamagedBody if they cannot be, and were promised decoded.
        """
        if self._decoder is None:
            return pieces
        plain: list[bytes] = []
        try:
            for piece in pieces:
                plain.append(self._decoder.feed(piece))
            if ended:
                self._decoder.end()
            return plain
        except DecodeError as error:
            if self._restorer is not None:
                raise DamagedBody(plain) from error
            self._decoder = None
            if self._copy is not None and len(plain) < len(pieces):
                self._copy.exchange.unreadable = True
            return plain

    def _whole(self) -> bytes:
        """The whole document with the asked name, and its length in the headers."""
        body = b"".join(self._waiting)
        if self._restorer is not None and body:
            body = self._restorer.whole(body)
            if "Content-Length" in self._headers:
                self._headers["Content-Length"] = str(len(body))
        return body

    async def _break_off(self, pieces: list[bytes], plain: list[bytes]) -> AlreadyAnswered:
        """Send what came before the upstream died (`plain`: decoded), and no end."""
        if self._copy is not None:
            self._copy.take(plain)
            self._copy.abandon(cancelled=False)
        if self._changes_whole:
            self._waiting += plain
            pieces = [self._whole()]
            if "Content-Length" in self._headers:  # one that is not reached
                self._headers["Content-Length"] = str(len(pieces[0]) + 1)
        elif self._restorer is not None:
            pieces = [*map(self._restorer.feed, plain), self._restorer.rest()]
        if not self._started:
            await self._start()
        await self._request.writer.write(self._framed(pieces))
        self._request.writer.send_headers()
        return AlreadyAnswered(keep=False)

    async def _start(self) -> None:
        """Hand status and headers to the writer, which sends them with the next bytes."""
        self._started = True
        modern = self._request.version >= HttpVersion11
        if self._model is not None:
            self._headers[MODEL_HEADER] = self._model
            if self._copy is not None:
                self._headers[TURN_HEADER] = self._copy.exchange.id
        if self._has_body and modern and "Content-Length" not in self._headers:
            self._chunked = True
            self._headers["Transfer-Encoding"] = "chunked"
        if not (modern and self._request.keep_alive):
            self._headers["Connection"] = "close"
        await self._request.writer.write_headers(
            f"HTTP/1.1 {self._answer.status} {self._answer.reason or ''}", self._headers
        )

    def _framed(self, pieces: list[bytes]) -> bytes:
        """The pieces as the wire has them: each a chunk of its own, if the answer is chunked."""
        if not self._chunked:
            return b"".join(pieces)
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
