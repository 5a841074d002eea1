"""Where a URL's server listens, as a socket takes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def address_of(url: str, port: int = 80) -> tuple[Any, int]:
    """Host and port of a URL; `port` if it names none. Raises ValueError for a port that is none.

    The host as bytes where that is possible: for a text Python loads the rules of foreign names
    first, which takes as long as asking a server on this machine several times. (It is `Any` since
    `socket.create_connection` takes bytes too, and its types do not say so.)
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host.encode("ascii") if host.isascii() else host, parts.port or port
