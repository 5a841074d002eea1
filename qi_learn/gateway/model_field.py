"""Where a request names its model: found without reading the rest of the request as JSON.

A request of an agent with images has many megabytes, and to parse it would hold up every other
stream. So the name is looked for, and the shorter side of it (in front or behind) shows that it
stands at the top of the object and not inside a tool or a message. Only if that would take long,
or the key is spelled otherwise (`Model`, `MODEL`), is the whole text parsed; beyond `IN_THREAD`
bytes the caller does that in a thread.

Of two names the last one counts, as in Go, in which Ollama is written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from qi_learn.gateway.rewrite import request_model

LOOKED_AT = 256 * 1024
"""Bytes that are looked at around a name."""
MOST_NAMES = 16
"""Keys `model` (of tools and the like) that are looked at."""
_KEY = b'"model"'
_VALUE = re.compile(rb'[ \t\r\n]*+:[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")')
_COLON = re.compile(rb"[ \t\r\n]*+:")
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelField:
    """The value of `model` in a request: `body[start:end]`, quotation marks included."""

    start: int
    end: int
    name: str

    def exchanged(self, body: bytes, name: str) -> bytes:
        """The body with another name in its place."""
        return b"%b%b%b" % (
            body[: self.start],
            json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            body[self.end :],
        )


class Unsure(Exception):
    """A quick look does not tell: the whole text must be parsed."""


def find_model(body: bytes) -> ModelField | None:
    """The name in a request's body, by a quick look; None if there is none.

    Raises Unsure if only the whole text would tell.
    """
    found: ModelField | None = None
    at, seen = body.find(_KEY), 0
    while at >= 0:
        seen += 1
        if seen > MOST_NAMES:
            raise Unsure
        after = at + len(_KEY)
        if not body.endswith(b"\\", 0, at) and _COLON.match(body, after) and _at_top(body, at):
            value = _VALUE.match(body, after)
            found = _field(value) if value else None
        at = body.find(_KEY, after)
    if found is None:
        raise Unsure
    return found


def parsed_model(body: bytes) -> ModelField | None:
    """The same by parsing the whole body. It holds up the caller for as long as that takes."""
    text = body.decode("utf-8", "surrogateescape")
    named = request_model(text)
    if named is None:
        return None
    field = named[0]
    start = len(text[: field.start].encode("utf-8", "surrogateescape"))
    length = len(text[field.start : field.end].encode("utf-8", "surrogateescape"))
    return ModelField(start, start + length, field.value)


def _field(value: re.Match[bytes]) -> ModelField | None:
    try:
        name = json.loads(value[1].decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return ModelField(value.start(1), value.end(1), name)


def _at_top(body: bytes, at: int) -> bool:
    """Whether the key at `at` is one of the outermost object."""
    if at <= LOOKED_AT and at <= len(body) - at:
        return _depth(body, 0, at) == 1
    if len(body) - at <= LOOKED_AT:
        return _depth(body, at, len(body)) == -1
    if at <= LOOKED_AT:
        return _depth(body, 0, at) == 1
    raise Unsure


def _depth(body: bytes, start: int, end: int) -> int:
    """How many more brackets are opened than closed in a part that begins outside a text."""
    depth = 0
    for token in _TOKEN.finditer(body, start, end):
        sign = token[0]
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
    return depth
