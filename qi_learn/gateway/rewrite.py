"""The one value that a routed exchange changes: `model`.

Every other byte stays what it was, so the value is exchanged in the raw text. Text is read as UTF-8
with `surrogateescape`, which gives back every byte. Values are skipped by Python's own JSON
decoder, so a `"model":"..."` inside a message, an answer or a tool's arguments is never mistaken
for the field.

`conversation()` changes nothing: it reads from a request what marks its conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qi_learn.gateway.routes import normalise

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING_START = '"'
_decode = json.JSONDecoder().raw_decode

PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "/v1/messages": (("message", "model"), ("model",)),
    "/v1/responses": (("response", "model"), ("model",)),
}
"""Where in the objects of an answer its model is named, by endpoint; for the others, `TOP`."""
TOP = (("model",),)


@dataclass(frozen=True, slots=True)
class Field:
    """A value in a JSON text: `text[start:end]`."""

    start: int
    end: int
    value: Any


def members(text: str, at: int) -> list[tuple[str, Field]]:
    """The members of the JSON object that begins at `at`, in order, duplicates included.

    Raises ValueError if there is no whole object.
    """
    at = _expect(text, at, "{")
    pairs: list[tuple[str, Field]] = []
    if text[at : at + 1] == "}":
        return pairs
    while True:
        if text[at : at + 1] != _STRING_START:
            raise ValueError(f"no key at {at}")
        key, at = _decode(text, at)
        at = _expect(text, at, ":")
        value, end = _decode(text, at)
        pairs.append((key, Field(at, end, value)))
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            return pairs
        at = _expect(text, at, ",")


def request_model(text: str) -> tuple[Field, dict[str, Any]] | None:
    """The `model` of a request, and the request's members.

    None if the text is no JSON object with such a string.

    Go, in which Ollama is written, takes keys in any case and lets the last of two win; so does
    this.
    """
    try:
        pairs = members(text, _after_space(text, 0))
    except (ValueError, RecursionError):
        return None
    model = next((field for key, field in reversed(pairs) if key.lower() == "model"), None)
    if model is None or not isinstance(model.value, str):
        return None
    return model, {key: field.value for key, field in pairs}


def exchanged(text: str, field: Field, name: str) -> str:
    """The text with another name in place of the field's value."""
    return text[: field.start] + json.dumps(name, ensure_ascii=False) + text[field.end :]


class NameRestorer:
    """Puts the asked name back into an answer, in place of the name that was sent."""

    def __init__(self, endpoint: str, asked: str, sent: str) -> None:
        self._paths = PATHS.get(endpoint, TOP)
        self._asked = asked
        self.sent = sent
        self._key = normalise(sent)
        self._held = b""

    def whole(self, answer: bytes) -> bytes:
        """A whole JSON answer with the asked name."""
        return self._restored(answer)

    def feed(self, data: bytes) -> bytes:
        """What may go on now, given more of a stream of lines (NDJSON or server-sent events).

        An unfinished line waits, as its reader would.
        """
        held = self._held + data if self._held else data
        end = held.rfind(b"\n") + 1
        self._held = held[end:]
        return b"".join(map(self._restored, held[:end].splitlines(keepends=True)))

    def rest(self) -> bytes:
        """What is left when the stream ends."""
        held, self._held = self._held, b""
        return self._restored(held)

    def _restored(self, line: bytes) -> bytes:
        start = line.find(b"{")
        if start < 0:
            return line
        text = line.decode("utf-8", "surrogateescape")
        for path in self._paths:
            field = _find(text, start, path)
            if (
                field is not None
                and isinstance(field.value, str)
                and normalise(field.value) == self._key
            ):
                return exchanged(text, field, self._asked).encode("utf-8", "surrogateescape")
        return line


def _find(text: str, at: int, path: tuple[str, ...]) -> Field | None:
    """The first value at a path of keys below the object that begins at `at`."""
    try:
        at = _expect(text, at, "{")
        while text[at : at + 1] == _STRING_START:
            key, at = _decode(text, at)
            at = _expect(text, at, ":")
            if key == path[0] and len(path) > 1:
                return _find(text, at, path[1:])
            value, end = _decode(text, at)
            if key == path[0]:
                return Field(at, end, value)
            at = _expect(text, end, ",")
    except (ValueError, RecursionError):
        pass  # the end of the object, or a text that is none: no such field
    return None


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, sign: str) -> int:
    """The position after a sign and the space around it. Raises ValueError if it is not there."""
    at = _after_space(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign} at {at}")
    return _after_space(text, at + 1)


def conversation(members_of_request: dict[str, Any]) -> Callable[[], str]:
    """A function for what stays the same over a conversation's requests.

    That is its system prompt and first question, or the beginning of its prompt.
    """

    def key() -> str:
        system = members_of_request.get("system") or members_of_request.get("instructions") or ""
        prompt = (
            members_of_request.get("messages")
            or members_of_request.get("input")
            or members_of_request.get("prompt")
            or ""
        )
        if isinstance(prompt, list):
            beginning: Any = prompt[: _first_question(prompt) + 1]
        else:
            beginning = str(prompt)[:256]
        return json.dumps([system, beginning], sort_keys=True, default=str)

    return key


def _first_question(messages: list[Any]) -> int:
    """The index of the first message of the user; 0 if there is none."""
    for index, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return index
    return 0
