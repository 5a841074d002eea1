"""A routed model that the server does not have (deleted, or on another server), told by its answer.

Ollama and the embedded engine answer 404 with an error that says the model was not found, in the
form of the endpoint that was asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiohttp

LONGEST = 64 * 1024
"""Bytes of an error; a longer document is none."""


async def error_document(answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body of an answer that may say that a model is missing; None for all others."""
    length = answer.content_length
    if answer.status != 404 or length is None or length > LONGEST:
        return None
    return await answer.content.read()


def says_missing(document: bytes) -> bool:
    """Whether an error says that the model was not found."""
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        return False
    error = value.get("error") if isinstance(value, Mapping) else None
    words = error.get("message") if isinstance(error, Mapping) else error
    return isinstance(words, str) and "model" in words and "not found" in words
