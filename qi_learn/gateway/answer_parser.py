"""What comes on a connection to the upstream, read as the answers to its requests.

The parser is llhttp, the one of Node (`httptools`), as lenient with servers as aiohttp's client is.
What it does not know is here: an answer that ends with its connection, one to HEAD, and the heads
before the last one (`103 Early Hints`).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from qi_learn.gateway.upstream_answer import UpstreamAnswer

HEAD_LIMIT = 1024 * 1024
"""Bytes that the head of an answer may have."""
_BLANKS = b" \t"


class AnswerParser:
    """Puts what comes into one answer after the other."""

    def __init__(self) -> None:
        self._parser = _new_parser(self)
        self._answer: UpstreamAnswer | None = None
        self._reset("")

    def begin(self, answer: UpstreamAnswer, method: str) -> None:
        """Take what comes next for the answer to a request of this method."""
        self._answer = answer
        self._reset(method)

    def forget(self) -> None:
        """Let the answer go, which nothing more is put into."""
        self._answer = None

    def _reset(self, method: str) -> None:
        self._method = method
        self.heard = False
        """Whether a byte of the answer has come."""
        self.done = False
        """Whether the answer is whole."""
        self.keeps = False
        """Whether the connection may serve again after it."""
        self._head_length = 0
        self._head_is_whole = False
        self._forget_head()

    def feed(self, data: bytes) -> str:
        """Take what came. Returns what is wrong with it; empty if nothing is."""
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            reason = error.__context__ if error.__context__ is not None else error
            return f"what came is no HTTP: {reason}"
        if not self._head_is_whole:
            self._head_length += len(data)
            if self._head_length > HEAD_LIMIT:
                return "the head of the answer has no end"
        elif self.done and self._method == "HEAD":
            self._parser = _new_parser(self)  # the old one waits for a body
        return ""

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the answer (RFC 9112, 6.3)."""
        return self._head_is_whole and self._framed_by_end

    # what llhttp calls

    def on_message_begin(self) -> None:
        if self.done:
            raise ValueError("more came than was asked for")

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_is_whole:
            return  # a trailer
        if b"\0" in value:
            raise ValueError("a header with a zero byte")
        self._headers.append((_text(name), _text(value.strip(_BLANKS))))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 100:
            raise ValueError("a head without a status")
        self._interim = status < 200
        if self._interim or self._answer is None:
            return
        headers = CIMultiDict(self._headers)
        codings = ",".join(headers.getall("Transfer-Encoding", ())).lower().split(",")
        chunked = codings[-1].strip() == "chunked"
        self._framed_by_end = not chunked and ("Content-Length" not in headers or codings != [""])
        self._head_is_whole = True
        self._answer.begin(status, _text(self._reason), headers)
        if self._method == "HEAD":
            self.done, self.keeps = True, self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        if self.done or self._answer is None:
            self.keeps = False  # a body behind the head that HEAD asked for
        else:
            self._answer.put(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._forget_head()
        elif not self.done:
            self.done, self.keeps = True, self._parser.should_keep_alive()

    def _forget_head(self) -> None:
        self._headers: list[tuple[str, str]] = []
        self._reason = b""
        self._interim = self._framed_by_end = False


def _new_parser(events: AnswerParser) -> HttpResponseParser:
    parser = HttpResponseParser(events)
    parser.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


def _text(raw: bytes) -> str:
    """A part of a head, with a byte that is no UTF-8 kept as aiohttp keeps it."""
    return raw.decode("utf-8", "surrogateescape")
