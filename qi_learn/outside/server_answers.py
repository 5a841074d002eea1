"""Whether the server behind the gateway answers at all, and the words for one that does not.

One small request that needs no HTTP library: `qi-learn status` asks it every time.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

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
        address = (parts.hostname or "", parts.port or (443 if secure else 80))
        with socket.create_connection(address, timeout) as link:
            if secure:
                return True
            link.sendall(request.encode("ascii"))
            with link.makefile("rb") as answer:  # read to its end: who breaks off is noted down
                return answer.read(LONGEST).startswith(b"HTTP/")
    except (OSError, ValueError):
        return False


def silence(url: str, *, engine: bool) -> str:
    """What is said of a server that does not answer, with what brings it back."""
    if engine:
        return (
            f"The embedded engine does not answer at {url}; it is started again by itself, else "
            "`qi-learn daemon restart`"
        )
    return (
        f"Ollama does not answer at {url}: start it with `ollama serve`; if it listens elsewhere, "
        "set serve.ollama"
    )
