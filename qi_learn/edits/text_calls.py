"""Tool calls that models write into their answer's text, and that a server did not take out of it.

Hermes and Qwen: `<tool_call>` with JSON (NousResearch/Hermes-Function-Calling); Qwen3-Coder and
OpenHands (openhands/llm/fn_call_converter.py): `<function=NAME>` with `<parameter=NAME>`, whose
values stand as they are. Ollama leaves them in the text for a model whose template has no tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from qi_learn.edits.edit import Called, called

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_FUNCTION = re.compile(r"<function=([\w.\-]{1,80})>")
_FUNCTION_ENDS = "</function>"
_PARAMETER = re.compile(r"<parameter=([\w.\-]{1,80})>")
_PARAMETER_ENDS = "</parameter>"
_JSON = json.JSONDecoder(strict=False)


def calls_in(answer: str) -> Iterator[tuple[int, int, Called]]:
    """The calls in a text: from where up to where, and what is called."""
    yield from _json_calls(answer)
    yield from _function_calls(answer)


def _json_calls(answer: str) -> Iterator[tuple[int, int, Called]]:
    at = answer.find(_OPEN)
    while at >= 0:
        start, after = at, at + len(_OPEN)
        value, end = _value(answer, after)
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            given = value.get("arguments", value.get("parameters"))
            closed = answer.find(_CLOSE, end, end + 40)
            stop = end if closed < 0 else closed + len(_CLOSE)
            yield start, stop, called(value["name"], given)
            after = stop
        at = answer.find(_OPEN, after)


def _value(answer: str, at: int) -> tuple[object, int]:
    """The JSON value that begins here, and where it ends; None if there is none."""
    begins = at + len(answer[at : at + 80]) - len(answer[at : at + 80].lstrip())
    if not answer.startswith("{", begins):
        return None, at
    try:
        return _JSON.raw_decode(answer, begins)
    except (ValueError, RecursionError):
        return None, at


def _function_calls(answer: str) -> Iterator[tuple[int, int, Called]]:
    at = 0
    while opened := _FUNCTION.search(answer, at):
        end = answer.find(_FUNCTION_ENDS, opened.end())
        if end < 0:
            return
        at = end + len(_FUNCTION_ENDS)
        arguments = _parameters(answer, opened.end(), end)
        yield opened.start(), at, Called(opened[1], arguments)


def _parameters(answer: str, at: int, end: int) -> dict[str, str]:
    """The values as they stand, without the line feeds that are next to their tags."""
    arguments: dict[str, str] = {}
    while opened := _PARAMETER.search(answer, at, end):
        stop = answer.find(_PARAMETER_ENDS, opened.end(), end)
        if stop < 0:
            return arguments
        text = answer[opened.end() : stop].removeprefix("\n")
        arguments[opened[1]] = text.removesuffix("\n")
        at = stop
    return arguments
