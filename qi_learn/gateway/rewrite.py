"""A JSON object read member by member, with the places of its values in the text.

So one value can be exchanged (`model_field.py`, `restore.py`) while every other byte stays. Text is
read as UTF-8
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

_SPACE = re.compile(r"[ \t\r\n]*")
STRING_START = '"'
decode_value = json.JSONDecoder().raw_decode


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
    at = expect(text, at, "{")
    pairs: list[tuple[str, Field]] = []
    if text[at : at + 1] == "}":
        return pairs
    while True:
        if text[at : at + 1] != STRING_START:
            raise ValueError(f"no key at {at}")
        key, at = decode_value(text, at)
        at = expect(text, at, ":")
        value, end = decode_value(text, at)
        pairs.append((key, Field(at, end, value)))
        at = after_space(text, end)
        if text[at : at + 1] == "}":
            return pairs
        at = expect(text, at, ",")


def request_model(text: str) -> tuple[Field, dict[str, Any]] | None:
    """The `model` of a request, and the request's members.

    None if the text is no JSON object with such a string.

    Go, in which Ollama is written, takes keys in any case and lets the last of two win; so does
    this.
    """
    try:
        pairs = members(text, after_space(text, 0))
    except (ValueError, RecursionError):
        return None
    model = next((field for key, field in reversed(pairs) if key.lower() == "model"), None)
    if model is None or not isinstance(model.value, str):
        return None
    return model, {key: field.value for key, field in pairs}


def after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def expect(text: str, at: int, sign: str) -> int:
    """The position after a sign and the space around it. Raises ValueError if it is not there."""
    at = after_space(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign} at {at}")
    return after_space(text, at + 1)


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
