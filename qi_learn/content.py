"""How a message's content of several parts is read: the server's own rule, by endpoint.

A client may send a message's content as a list of parts. Ollama is the norm (read in
`openai/openai.go` and `anthropic/anthropic.go` of 0.33), and its endpoints differ:

* `/v1/chat/completions`: each part becomes a message of its own with the role of the whole. What a
  message has beside its content (tool calls, reasoning) goes to the last of them.
* `/v1/messages` and `/v1/responses`: the texts make one message, with nothing between them.
* `/api/chat`: a content is a text; parts are refused.

What a template makes of neighbours with one role is the template's affair and not decided here
(Ollama's own templates put an empty line between them). The engine and the decoders both ask this
page, so that what is stored, rendered again and learned is what the server read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

EACH_A_MESSAGE = frozenset(("/v1/chat/completions",))
"""Endpoints on which each part of a content is a message of its own."""


@dataclass(frozen=True, slots=True)
class Content:
    """The text of one message, and how many images (or sounds) came with it."""

    text: str = ""
    images: int = 0


def texts_within(value: object) -> Iterator[str]:
    """Every text in an argument of a tool's call, at any depth (tools take lists of edits)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_within(inner)


def contents_of(endpoint: str, content: Any) -> tuple[Content, ...]:
    """The contents of the messages that an endpoint makes of one message's content.

    One for a text or for nothing at all, none for an empty list where each part is a message.
    """
    if isinstance(content, str):
        return (Content(content),)
    if not isinstance(content, list):
        return (Content(),)
    parts = [part for part in map(_part, content) if part is not None]
    if endpoint in EACH_A_MESSAGE:
        return tuple(parts)
    return (Content("".join(part.text for part in parts), sum(part.images for part in parts)),)


def _part(part: Any) -> Content | None:
    """What one part says; None for what no server reads."""
    if isinstance(part, str):
        return Content(part)
    if not isinstance(part, Mapping):
        return None
    if isinstance(part.get("text"), str):
        return Content(part["text"])
    kind = str(part.get("type", ""))
    return Content(images=1) if "image" in kind or "audio" in kind else None
