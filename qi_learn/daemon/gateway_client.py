"""The gateway asked what it does: `GET /qi/state`, and whether a child answers at all."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

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
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        link.request("GET", parts.path)
        return link.getresponse().read(LONGEST)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        link.close()
