"""Bodies that travel encoded (`Content-Encoding`), read as they are read at the other end.

`gzip` and `deflate` are the standard library's; `zstd` is there from Python 3.14 on. Other
encodings, and several one upon the other, are not read: such a body passes as it is.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Protocol

LONGEST = 16 * 1024 * 1024
"""Bytes that a body may have decoded: a small one can unfold into gigabytes."""
_PIECE = 64 * 1024


class Decoder(Protocol):
    """Decodes a body piece by piece. Raises DecodeError if it is not what it says."""

    def feed(self, data: bytes) -> bytes:
        """What the next bytes say."""


class DecodeError(ValueError):
    """A body that cannot be decoded, or is too long decoded."""


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
    except DecodeError:
        return None
    return b"".join(pieces)


class _Inflate:
    """gzip, and deflate with or without zlib's head (both are sent under that name)."""

    def __init__(self, name: str) -> None:
        self._begins = b"" if name == "deflate" else None
        """The first bytes, until they tell whether there is a head."""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def feed(self, data: bytes) -> bytes:
        if self._begins is not None:
            data = self._begins + data
            if len(data) < 2:
                self._begins = data
                return b""
            self._begins = None
            if data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31:  # RFC 1950, 2.2
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            plain = self._inflate.decompress(data, LONGEST + 1)
        except zlib.error as error:
            raise DecodeError(str(error)) from error
        if self._inflate.unconsumed_tail:
            raise DecodeError("too long decoded")
        return plain


class _Zstd:
    def __init__(self, decompress: Decoder, error: type[Exception]) -> None:
        self._decompress, self._error = decompress, error

    def feed(self, data: bytes) -> bytes:
        try:
            return self._decompress.decompress(data)  # type: ignore[attr-defined, no-any-return]
        except self._error as error:
            raise DecodeError(str(error)) from error


def _zstd() -> Decoder | None:
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        return None
    return _Zstd(module.ZstdDecompressor(), module.ZstdError)
