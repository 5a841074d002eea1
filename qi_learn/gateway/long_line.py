"""The spool's line of a long exchange, made piece by piece.

To write 9 MB as JSON takes Python some 50 ms in one go, in which no other stream goes on, thread or
not. Here each piece takes a fraction of a millisecond, and between two of them the loop may run.
The line is the same as `spool.frame` makes it.
"""

from __future__ import annotations

import codecs
import json
import time
import zlib
from collections.abc import Iterator

from qi_learn.records import Event
from qi_learn.spool import frame

PIECE = 32 * 1024
_FRAME = len("00000000 ")
_MARKS = {"request": "\x00request\x00", "response": "\x00response\x00"}


def long_line(event: Event, texts: dict[str, bytes | bytearray]) -> bytes:
    """The line of an event whose body has these texts in place of its own `request`, `response`."""
    body = {**event.body, **_MARKS}
    short = frame(
        Event(event.id, event.kind, event.ts, event.source, body, event.author, event.project)
    )[_FRAME:-1]
    pieces: list[bytes] = []
    rest = short
    for name, mark in _MARKS.items():
        # with its key: quotation marks within a text are written with a backslash
        field = f"{json.dumps(name)}:{json.dumps(mark)}".encode()
        before, _, rest = rest.partition(field)
        opened, closed = field.split(json.dumps(mark)[1:-1].encode())
        pieces += [before, opened, *_written(texts[name]), closed]
    pieces.append(rest)
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    return b"".join([b"%08x " % checksum, *pieces, b"\n"])


def _written(data: bytes | bytearray) -> Iterator[bytes]:
    """A text as it stands within a JSON text, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(data), PIECE):
        text = decoder.decode(data[start : start + PIECE], start + PIECE >= len(data))
        yield json.dumps(text)[1:-1].encode("ascii")
        time.sleep(0)  # the loop may go on
