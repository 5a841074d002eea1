"""Tool calls: read from what a model wrote, and from the messages of a request for a template.

Models write a call as JSON (`{"name": ..., "arguments": ...}`, one or a list; Llama 3 says
`parameters`), or as Qwen3-Coder's tags (`<function=name><parameter=key>value</parameter>`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from qi_learn.errors import ServerError

_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
Call = tuple[str, dict[str, Any]]


def read_calls(text: str) -> list[Call] | None:
    """The calls that a model wrote, name and arguments; None if the text is none."""
    if functions := _FUNCTION.findall(text):
        return [
            (name.strip(), {key.strip(): _value(value) for key, value in _PARAMETER.findall(body)})
            for name, body in functions
        ]
    try:
        values = list(_json_values(text.strip()))
    except (ValueError, RecursionError):
        return None
    calls = [_call(one) for value in values for one in _as_list(value)]
    known = [call for call in calls if call is not None]
    return known if known and len(known) == len(calls) else None


def _json_values(text: str) -> list[Any]:
    """JSON values that follow each other, with semicolons, commas or nothing between them."""
    decoder, values, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        at += len(text) - at - len(text[at:].lstrip(" \r\n\t;,"))
    return values


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _call(value: Any) -> Call | None:
    if not isinstance(value, Mapping):
        return None
    value = value["function"] if isinstance(value.get("function"), Mapping) else value
    arguments = _arguments(value.get("arguments", value.get("parameters", {})))
    name = value.get("name")
    return (name, arguments) if isinstance(name, str) and name and arguments is not None else None


def _arguments(value: Any) -> dict[str, Any] | None:
    """Arguments as an object, also if they came as its JSON; None if they are none."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _value(text: str) -> Any:
    """A parameter's value: JSON if it is, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def checked_tools(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """The tools of a request. Raises ServerError (400) for what is no tool."""
    for tool in tools or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ServerError("a tool is an object with a function that has a name", status=400)
    return tuple(tools or ())


def for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as chat templates expect it: arguments as objects, names where they look."""
    made = dict(message)
    calls = message.get("tool_calls")
    if calls is not None:
        made["tool_calls"] = [_called(call) for call in _as_list(calls)]
    if isinstance(message.get("tool_name"), str):
        made.setdefault("name", message["tool_name"])
    thinking = message.get("thinking") or message.get("reasoning")
    if isinstance(thinking, str):
        made.setdefault("reasoning_content", thinking)
    return made


def _called(call: Any) -> dict[str, Any]:
    """A call of an earlier answer, as a template writes it."""
    read = _call(call)
    if read is None:
        raise ServerError(
            "a tool call has a function with a name and arguments, an object", status=400
        )
    name, arguments = read
    kept = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**kept, "type": "function", "function": {"name": name, "arguments": arguments}}
