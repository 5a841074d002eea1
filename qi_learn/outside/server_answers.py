"""Whether the server behind the gateway answers at all (silence.py: the words if it does not).

One small request that needs no HTTP library: `qi-learn status` asks it every time.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import urlsplit

from qi_learn.outside.socket_address import address_of

LONGEST = 1 << 16
"""More than this is no answer about a version, bytes."""
ASK_SECONDS = 2.0
"""How long the answer about its version may take: a server that loads a model gives it at once."""


def server_answers(url: str, *, timeout: float = ASK_SECONDS) -> bool:
    """Whether something that speaks HTTP answers there; with TLS, whether it accepts."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    request = f"GET {parts.path.rstrip('/')}/api/version HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n"
    try:
        address = address_of(url, 443 if secure else 80)
        with socket.create_connection(address, timeout) as link:
            if secure:
                return True
            link.sendall(request.encode("ascii"))
            with link.makefile("rb") as answer:
                if not answer.readline(LONGEST).startswith(b"HTTP/"):
                    return False
                _read_on(answer)
                return True
    except (OSError, ValueError):
        return False


def _read_on(answer: BinaryIO) -> None:
    """Read an answer to its end, as its head says it: who breaks off is noted down there.

    The connection may stay open, whatever was asked. What is missing changes nothing.
    """
    length = LONGEST
    with suppress(OSError):
        while (line := answer.readline(LONGEST)).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and value.strip().isdigit():
                length = min(LONGEST, int(value.strip()[:10]))
        answer.read(length)
