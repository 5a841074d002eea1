"""The spool's line of a long exchange, made piece by piece.

To write 9 MB as JSON takes Python some 50 ms in one go, in which no other stream goes on, thread or
not. Here each piece takes a fraction of a millisecond, and between two of them the loop may run.
The line is the same as `spool.frame` makes it.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Iterator

from qi_learn.records import Event
from qi_learn.spool import frame

PIECE = 16 * 1024
_FRAME = len("00000000 ")
_MARKS = {"request": "\x00request\x00", "response": "\x00response\x00"}


def long_line(event: Event, texts: dict[str, bytes | bytearray]) -> bytes:
    """The line of an event whose body has these texts in place of its own `request`, `response`."""
    pieces: list[bytes] = []
    checksum = 0
    for piece in _pieces(event, texts):
        pieces.append(piece)
        # A thread that sums up lets the loop go on meanwhile (Python does so above 5 kB)
        checksum = zlib.crc32(piece, checksum)
    return b"".join([b"%08x " % checksum, *pieces, b"\n"])


def _pieces(event: Event, texts: dict[str, bytes | bytearray]) -> Iterator[bytes]:
    """The JSON of the line, piece by piece."""
    body = {**event.body, **_MARKS}
    short = frame(
        Event(event.id, event.kind, event.ts, event.source, body, event.author, event.project)
    )[_FRAME:-1]
    for name, mark in _MARKS.items():
        # with its key: quotation marks within a text are written with a backslash
        field = f"{json.dumps(name)}:{json.dumps(mark)}".encode()
        before, _, short = short.partition(field)
        opened, closed = field.split(json.dumps(mark)[1:-1].encode())
        yield before + opened
        yield from _written(texts[name])
        yield closed
    yield short


def _written(data: bytes | bytearray) -> Iterator[bytes]:
    """A text as it stands within a JSON text, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(data), PIECE):
        text = decoder.decode(data[start : start + PIECE], start + PIECE >= len(data))
        yield json.dumps(text)[1:-1].encode("ascii")
