"""An edit, and a call of a tool as the readers of the dialects see it.

What a dialect reads is what its client's own code takes: where the two could differ (a pattern in
place of a text, a line number in place of the text that stands there), nothing is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one file, as an answer asks for it."""

    path: str | None
    """The file as the answer names it; None if it names none."""
    old: str | None
    """The text that is to go. None: the whole file is written, or a text is put in."""
    new: str
    """The text that is to stand there; empty if it is only to go."""
    start: int = -1
    """Where `new` begins in the answer's text; -1 if it does not stand there as it is."""
    end: int = -1
    """Where it ends."""
    call: str | None = None
    """The id of the tool call it is from; `#` and its number in the answer if it has none."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of an answer's text that asks for edits: from `start` up to `end`."""

    start: int
    end: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a tool."""

    name: str
    """Without what servers and clients put in front of it (`mcp__files__`, `functions.`)."""
    arguments: Mapping[str, Any]
    """Empty for a tool of free form."""
    text: str = ""
    """What a tool of free form was given."""
    id: str | None = None

    def said(self, *names: str) -> str | None:
        """The first of these arguments that is a text."""
        return text_in(self.arguments, *names)

    def parts(self, *names: str) -> list[Mapping[str, Any]]:
        """The objects in the first of these arguments that is a list; some models send its JSON."""
        for name in names:
            value = self.arguments.get(name)
            if isinstance(value, str):
                value = parsed(value)
            if isinstance(value, (list, tuple)):
                return [part for part in value if isinstance(part, Mapping)]
        return []


_IN_FRONT = ("functions.", "builtin_", "container.", "default_api.")


def called(name: Any, arguments: Any, id: Any = None) -> Called:
    """A call with arguments as an object, as its JSON, or as the text of a tool of free form."""
    plain = str(name or "").rpartition("__")[2]
    for front in _IN_FRONT:
        plain = plain.removeprefix(front)
    given = arguments
    if isinstance(arguments, str):
        given = parsed(arguments)
    if isinstance(given, Mapping):
        return Called(plain, given, id=str(id) if id else None)
    text = arguments if isinstance(arguments, str) else ""
    return Called(plain, {}, text, str(id) if id else None)


def calls_of(extra: Mapping[str, Any]) -> list[Called]:
    """The tool calls of an answer; one without an id is named by its number."""
    made = extra.get("tool_calls")
    found = []
    for number, call in enumerate(made if isinstance(made, (list, tuple)) else ()):
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            id = call.get("id") or f"#{number}"
            found.append(called(function.get("name"), function.get("arguments"), id))
    return found


def parsed(text: str) -> Any:
    """The value of a JSON text; None if it is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def text_in(arguments: Mapping[str, Any], *names: str) -> str | None:
    """The first of these members that is a text."""
    return next((v for name in names if isinstance(v := arguments.get(name), str)), None)


def written(path: str | None, new: str | None) -> Iterator[Edit]:
    """A file that is written, or a text that is put into one."""
    if path and new is not None:
        yield Edit(path, None, new)


def replaced(path: str | None, old: str | None, new: str | None) -> Iterator[Edit]:
    """A text in place of another; with nothing to go, it is put in or the file is made."""
    if path and old is not None and new is not None and (old or new):
        yield Edit(path, old or None, new)


def each_replaced(
    path: str | None, parts: Iterable[Mapping[str, Any]], old: str, new: str
) -> Iterator[Edit]:
    """Several replacements in one file; a part may name another file."""
    for part in parts:
        own = text_in(part, "file_path", "filePath", "path", "filepath") or path
        yield from replaced(own, text_in(part, old), text_in(part, new))
