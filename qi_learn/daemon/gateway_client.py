"""The gateway asked what it does: `GET /qi/state`, and whether a child answers at all.

One request to a process of ours on this machine, so a socket is enough: HTTP 1.0, which ends with
the answer. An HTTP library with TLS would cost `qi-learn status` a tenth of its time.
"""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

from qi_learn.outside.socket_address import address_of
from qi_learn.paths import Paths, home_mark

ANSWER_SECONDS = 5.0
"""How long an answer about oneself may take; the machine may be busy."""
LONGEST = 1 << 20


def ask_state(url: str, paths: Paths, *, timeout: float = ANSWER_SECONDS) -> dict[str, Any] | None:
    """What the gateway of this home at `url` says of itself.

    None if it does not answer, or is another home's.
    """
    body = _get(f"{url}/qi/state", timeout)
    try:
        value = json.loads(body) if body else None
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("home") == home_mark(paths) else None


def answers_at(url: str, *, timeout: float = ANSWER_SECONDS) -> bool:
    """Whether something answers there, in good health or not."""
    return _get(url, timeout) is not None


def _get(url: str, timeout: float) -> bytes | None:
    """The body of the answer, whatever its status; None if none comes."""
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n"
    try:
        address = address_of(url)
        with socket.create_connection(address, timeout) as link, link.makefile("rb") as answer:
            link.sendall(request.encode("ascii"))
            if not answer.readline(LONGEST).startswith(b"HTTP/"):
                return None
            while answer.readline(LONGEST).strip():
                pass  # the headers
            return answer.read(LONGEST)
    except (OSError, ValueError):
        return None
