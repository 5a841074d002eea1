"""Bodies that travel encoded (`Content-Encoding`), read as they are read at the other end.

`gzip` and `deflate` are the standard library's; `zstd` is there from Python 3.14 on. Other
encodings, and several one upon the other, are not read: such a body passes as it is.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

LONGEST = 16 * 1024 * 1024
"""Bytes that a body may have decoded: a small one can unfold into gigabytes."""
_PIECE = 64 * 1024
_MEMBER = b"\x1f\x8b"
"""How a gzip member begins."""


class Decoder(Protocol):
    """Decodes a body piece by piece. Raises DecodeError if it is not what it says."""

    def feed(self, data: bytes) -> bytes:
        """What the next bytes say."""

    def end(self) -> None:
        """Raises DecodeError if the body may not end here."""


class DecodeError(ValueError):
    """A body that cannot be decoded, or is too long decoded."""


def is_plain(encoding: str) -> bool:
    """Whether a Content-Encoding says that the body is not encoded."""
    return encoding.strip().lower() in ("", "identity")


def decoder_for(encoding: str) -> Decoder | None:
    """The decoder of a Content-Encoding; None if it is not known."""
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflate(name)
    if name == "zstd":
        return _zstd()
    return None


def decoded(body: bytes, encoding: str) -> bytes | None:
    """The whole body decoded; None if that cannot be done, or is longer than `LONGEST`."""
    decoder = decoder_for(encoding)
    if decoder is None:
        return None
    pieces: list[bytes] = []
    length = 0
    try:
        for at in range(0, len(body), _PIECE):
            pieces.append(decoder.feed(body[at : at + _PIECE]))
            length += len(pieces[-1])
            if length > LONGEST:
                return None
        decoder.end()
    except DecodeError:
        return None
    return b"".join(pieces)


class _Inflate:
    """gzip, and deflate with or without zlib's head (both are sent under that name).

    A gzip body may have several members, one behind the other (RFC 1952, 2.2). Anything else that
    stands behind the end is left out, as most clients do.
    """

    def __init__(self, name: str) -> None:
        self._begins = b"" if name == "deflate" else None
        """The first bytes, until they tell whether there is a head."""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._empty = True
        self._members = name != "deflate"
        """Whether another member may follow."""

    def feed(self, data: bytes) -> bytes:
        self._empty = self._empty and not data
        if self._begins is not None:
            data = self._begins + data
            if len(data) < 2:
                self._begins = data
                return b""
            self._begins = None
            if data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31:  # RFC 1950, 2.2
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        plain = b""
        while data and not (self._inflate.eof and not self._begins_member(data)):
            plain += self._inflated(data, LONGEST + 1 - len(plain))
            data = self._inflate.unused_data
        return plain

    def _begins_member(self, data: bytes) -> bool:
        """Make ready for another member, if one begins here."""
        self._members = self._members and _MEMBER.startswith(data[:2])
        if self._members:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return self._members

    def _inflated(self, data: bytes, most: int) -> bytes:
        try:
            plain = self._inflate.decompress(data, max(most, 1))
        except zlib.error as error:
            raise DecodeError(str(error)) from error
        if self._inflate.unconsumed_tail:
            raise DecodeError("too long decoded")
        return plain

    def end(self) -> None:
        if not (self._empty or self._inflate.eof):
            raise DecodeError("cut short")


class _Zstd:
    """One frame or several, one behind the other (RFC 8878, 3.1)."""

    def __init__(self, make: Callable[[], Any], error: type[Exception]) -> None:
        self._make, self._decompress, self._error = make, make(), error
        self._empty = True

    def feed(self, data: bytes) -> bytes:
        self._empty = self._empty and not data
        plain: list[bytes] = []
        try:
            while data:
                if self._decompress.eof:
                    self._decompress = self._make()
                plain.append(self._decompress.decompress(data))
                data = self._decompress.unused_data
        except self._error as error:
            raise DecodeError(str(error)) from error
        return b"".join(plain)

    def end(self) -> None:
        if not (self._empty or self._decompress.eof):
            raise DecodeError("cut short")


def _zstd() -> Decoder | None:
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        return None
    return _Zstd(module.ZstdDecompressor, module.ZstdError)
