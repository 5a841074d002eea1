"""What the decoders of `wire` have in common.

A question, an answer, and how streams are cut into JSON values. A stream that was cut off gives
what came before the cut. Nothing here knows an API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn.records import Message

_SPACE = re.compile(r"\s*")
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request's messages and sampling options.

    Beside them the other fields that shape the text the model reads, and the client's own session
    id.
    """

    messages: tuple[Message, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    session: str | None = None


@dataclass(slots=True)
class ParsedAnswer:
    """An answer as it is put together, `complete` once its end was seen."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    """What the model said in the place of an answer, where an API keeps that apart."""
    calls: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    done_reason: str | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    complete: bool = False

    @property
    def extra(self) -> dict[str, Any]:
        """What belongs to the answer but is not its text."""
        extra = {
            "thinking": self.thinking,
            "refusal": self.refusal,
            "tool_calls": self.calls,
            **self.more,
        }
        return {key: value for key, value in extra.items() if value}


def first_object(text: str) -> dict[str, Any]:
    """The JSON object a text begins with. What follows it is not read, as in Ollama.

    Raises ValueError if there is none.
    """
    try:
        value, _ = json.JSONDecoder().raw_decode(text, _skip(text, 0))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a document or of NDJSON, for as long as they are whole."""
    decode, at = json.JSONDecoder().raw_decode, _skip(text, 0)
    while at < len(text):
        try:
            value, at = decode(text, at)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict):
            yield value
        at = _skip(text, at)


def server_events(text: str) -> Iterator[dict[str, Any] | None]:
    """The data of server-sent events, for as long as it is whole; None for `[DONE]`.

    An event ends with an empty line, its data may stand on several, and a byte order mark may stand
    in front of all.
    """
    waiting: list[str] = []
    for line in (*_LINE_END.split(text.removeprefix("\ufeff")), ""):
        if line.startswith("data:"):
            waiting.append(line[5:].strip())
        if waiting and (not line or waiting[-1] == "[DONE]"):
            done = waiting[-1] == "[DONE]"
            yield from json_objects("\n".join(waiting[:-1] if done else waiting))
            if done:
                yield None
            waiting = []


def call(name: Any, arguments: Any, id: Any = None) -> dict[str, Any]:
    """A tool call in Ollama's own form, with the arguments as an object if they are one."""
    if isinstance(arguments, str):
        parsed = next(json_objects(arguments or "{}"), None)
        if parsed is not None:  # else cut off, or no JSON: kept as the model wrote it
            arguments = parsed
    made: dict[str, Any] = {
        "function": {"name": name or "", "arguments": {} if arguments is None else arguments}
    }
    return {"id": id, **made} if id else made


def said(value: Any) -> str:
    """What a model wrote: a text, or the texts of parts, as some servers send an answer.

    A part with thoughts is left out (`thought`).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(said, value))
    return said(value.get("text")) if isinstance(value, Mapping) else ""


def thought(value: Any) -> str:
    """The thoughts among the parts of an answer."""
    return "".join(said(part.get("thinking")) for part in entries(value))


def words_of(error: Any) -> str:
    """A server's error in words: a text, an object's `message`, else its JSON."""
    message = error.get("message") if isinstance(error, Mapping) else error
    if not message or isinstance(message, str):
        return message or ""
    return json.dumps(message, ensure_ascii=False)


def with_cached(count: int | None, details: Mapping[str, Any]) -> int | None:
    """The tokens of a whole prompt, where a server may count the cached ones apart.

    A count that is smaller than its own cached part leaves that part out.
    """
    cached = whole_number(details.get("cached_tokens")) or 0
    return count if count is None or count >= cached else count + cached


def whole_number(value: Any) -> int | None:
    """The value if it is a whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text_or_none(value: Any) -> str | None:
    """The value if it is a text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def chosen(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The members with these keys that are not empty."""
    return {key: mapping[key] for key in keys if mapping.get(key) not in (None, "", [], {})}


def entries(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; empty if it is no list."""
    return (
        [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
    )


def member(value: Any, key: str) -> Mapping[str, Any]:
    """The object at a key; empty if there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
