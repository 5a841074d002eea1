"""Heads of requests and answers go on with the bytes that they came with.

aiohttp reads a head as UTF-8 and keeps a byte that is none as half a surrogate pair. On the way out
it leaves that out, so a header in Latin-1 would lose letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from aiohttp import http_writer

_ENDS_A_LINE = re.compile(r"[\r\n\0]")
_written_by_aiohttp = http_writer._serialize_headers


def keep_header_bytes() -> None:
    """Make aiohttp write every byte of a head, in this process."""
    cast(Any, http_writer)._serialize_headers = head_bytes


def header_text(value: str | None) -> str | None:
    """The text that a client meant by a header: UTF-8, else Latin-1, as Node and Python send it."""
    if value is None or value.isascii():
        return value
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def head_bytes(line: str, headers: Mapping[str, str]) -> bytes:
    """A head as the wire has it.

    aiohttp refuses every control character. Those alone that could begin another header become
    blanks here (RFC 9110, 5.5); a server that wrote another one is answered for as it is.
    """
    if line.isascii() and all(map(str.isascii, headers.values())):
        with suppress(ValueError):
            return _written_by_aiohttp(line, cast(Any, headers))
    lines = [line, *(f"{name}: {value}" for name, value in headers.items())]
    safe = (_ENDS_A_LINE.sub(" ", part) for part in lines)
    return "".join(f"{part}\r\n" for part in (*safe, "")).encode("utf-8", "surrogateescape")
