"""Where a request names its model: found without reading the rest of the request as JSON.

A request of an agent with images has many megabytes, and to parse it would hold up every other
stream. So the name is looked for near both ends, and the shorter side of it (in front or behind)
shows that it stands at the top of the object and not inside a tool or a message. Only if there is
none, or the key is spelled otherwise (`Model`, `MODEL`), is the whole text parsed: of a long one in
a thread. One that is too long to be recorded is not parsed, which takes several times its length,
but gone through.

Of two names the last one counts, as in Go, in which Ollama is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from qi_learn.gateway.rewrite import request_model

LOOKED_AT = 256 * 1024
"""Bytes that are looked at, at each end."""
MOST_NAMES = 16
"""Keys `model` (of tools and the like) that are looked at."""
_KEY = b'"model"'
_LONGEST_KEY = len(r'"\u006d\u006f\u0064\u0065\u006c"')
_VALUE = re.compile(rb'[ \t\r\n]*+:[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")')
_FIRST = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"model"' + _VALUE.pattern)
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


def first_model(body: bytes) -> ModelField | None:
    """The name where nearly every client writes it: as the first thing of the request."""
    value = _FIRST.match(body)
    return _field(value) if value else None


def find_model(body: bytes) -> ModelField | None:
    """The name in a request's body, by a quick look; None if there is none.

    Raises Unsure if only the whole text would tell.
    """
    found: ModelField | None = None
    for seen, at in enumerate(_keys(body)):
        if seen >= MOST_NAMES:
            raise Unsure
        after = at + len(_KEY)
        if not body.endswith(b"\\", 0, at) and _COLON.match(body, after) and _at_top(body, at):
            value = _VALUE.match(body, after)
            found = _field(value) if value else None
    if found is None:
        raise Unsure
    return found


def _keys(body: bytes) -> Iterator[int]:
    """Where `"model"` stands, near the beginning and near the end."""
    begins = max(LOOKED_AT, len(body) - LOOKED_AT)
    for start, end in ((0, LOOKED_AT), (begins - len(_KEY), len(body))):
        at = body.find(_KEY, max(0, start), end)
        while at >= 0:
            yield at
            at = body.find(_KEY, at + len(_KEY), end)


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


def scanned_model(body: bytes) -> ModelField | None:
    """The same by going through a body of any length, in steps between which the loop may run."""
    depth, found = 0, None
    for token in _TOKEN.finditer(body):
        sign = body[token.start() : token.start() + 1]
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
        elif depth == 1 and _names_model(body, token.start(), token.end()):
            value = _VALUE.match(body, token.end())
            found = _field(value) if value else None
    return found


def _names_model(body: bytes, start: int, end: int) -> bool:
    """Whether a text is the key `model`, in any case and however it is written."""
    if end - start > _LONGEST_KEY or _COLON.match(body, end) is None:
        return False
    try:
        return bool(json.loads(body[start:end]).lower() == "model")
    except ValueError:
        return False


def _field(value: re.Match[bytes]) -> ModelField | None:
    written = value[1].decode("utf-8", "surrogateescape")
    name = written[1:-1]
    if "\\" in name or not name.isprintable():  # as hardly any is
        try:
            name = json.loads(written)
        except ValueError:
            return None
    return ModelField(value.start(1), value.end(1), name)


def _at_top(body: bytes, at: int) -> bool:
    """Whether the key at `at` is one of the outermost object."""
    if at <= len(body) - at:
        return _depth(body, 0, at) == 1
    return _depth(body, at, len(body)) == -1


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
