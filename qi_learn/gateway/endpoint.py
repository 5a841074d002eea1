"""Which endpoint a request means: decided by its path alone, as Ollama's router takes it.

A query (`/v1/messages?beta=true`), doubled slashes, dots, a slash at the end and percent signs do
not make it another endpoint. The target that is passed on stays as it came: this page only names
it.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

INFERENCE = frozenset(
    (
        "/api/chat",
        "/api/generate",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
    )
)
"""Endpoints whose requests are routed and whose exchanges are recorded."""
NEED_A_MODEL = INFERENCE | {"/api/embed", "/api/embeddings", "/v1/embeddings"}
"""What makes Ollama load a model: either learning gives way to it, or it waits."""
_QUERY = re.compile(r"[?#]")
_WHOLE_URL = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_ASKS_A_MODEL = re.compile(
    r"(?:^|[/:._-])(?:chat|complete|completions?|generate|responses?|messages?|infill|converse"
    r"|invoke|predict|ask|(?:stream)?generate[_-]?(?:content|stream|text))(?:[_-]stream)?$",
    re.IGNORECASE,
)


def endpoint_of(target: str) -> str:
    """The path that a request's target means."""
    if target in NEED_A_MODEL:  # as nearly every client writes it
        return target
    target = host_and_path(target)[1]
    path = _QUERY.split(target, maxsplit=1)[0]
    if path in NEED_A_MODEL or not path.startswith("/"):
        return path
    path = unquote(path)
    return posixpath.normpath("/" + path.lstrip("/"))


def host_and_path(target: str) -> tuple[str | None, str]:
    """The host that a target names, and the path behind it.

    Clients behind a proxy, and some others, ask for a whole URL (RFC 9112, 3.2.2). Any other target
    names no host and is all path.
    """
    match = None if target.startswith("/") else _WHOLE_URL.match(target)
    if match is None:
        return None, target
    rest = target[match.end() :]
    return match[1], rest if rest.startswith("/") else f"/{rest}"


def looks_like_inference(method: str, endpoint: str) -> bool:
    """Whether a request may ask a model by a path that is not known here.

    Such a request passes as it is, and is counted, so that a client that is missed can be seen.
    """
    if method != "POST" or endpoint in NEED_A_MODEL:
        return False
    return _ASKS_A_MODEL.search(endpoint) is not None
