"""A routed model that the server does not have (deleted, or on another server), told by its answer.

Ollama and the embedded engine answer 404 with an error that says the model was not found, in the
form of the endpoint that was asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from qi_learn.gateway.encoding import decoded, is_plain
from qi_learn.gateway.upstream_answer import UpstreamAnswer

LONGEST = 64 * 1024
"""Bytes of an error; a longer document is none."""


async def read_error(answer: UpstreamAnswer) -> bytes:
    """The body of a 404, or the beginning of a long one."""
    body, ended = b"", False
    while not ended and len(body) <= LONGEST:
        pieces, ended = await answer.more()
        body += b"".join(pieces)
    return body


def is_missing(answer: UpstreamAnswer, body: bytes) -> bool:
    """Whether a 404 with this body says that the model was not found, encoded or not."""
    encoding = answer.headers.get("Content-Encoding", "")
    document = body if is_plain(encoding) else decoded(body, encoding)
    return document is not None and len(body) <= LONGEST and says_missing(document)


def says_missing(document: bytes) -> bool:
    """Whether an error says that the model was not found."""
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        return False
    error = value.get("error") if isinstance(value, Mapping) else None
    words = error.get("message") if isinstance(error, Mapping) else error
    return isinstance(words, str) and "model" in words and "not found" in words
