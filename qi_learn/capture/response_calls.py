"""The calls among the items of a response: which items are one, whole or told in pieces.

There is an item for each tool that a server knows (a shell, a patch, a search, a computer), and
more with every version: so an item whose type ends in `_call` is a call. It has the name that it
gives itself, else its type's; and what its tool is given is its `arguments`, `input`, `action` or
`operation`, else all that it says beside its own names and what came out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn.capture.wire_stream import call, entries, member, said
from qi_learn.content import Content, contents_of

_OTHERS = ("mcp_approval_request", "program")
"""Items that call a tool and are not named so."""
_GIVEN = ("arguments", "action", "operation")
_ITS_OWN = frozenset(
    [
        "type",
        "id",
        "call_id",
        "status",
        "name",
        "namespace",
        "server_label",
        "caller",
        "created_by",
        "environment",
        "container_id",
        "execution",
        "pending_safety_checks",
        "fingerprint",
        "output",
        "outputs",
        "result",
        "results",
        "error",
        "approval_request_id",
    ]
)
"""What an item says of itself and of what came out of it, not to its tool."""
_PIECE = re.compile(
    r"response\.(?:\w+_call_)(?P<field>arguments|input|code|operation_diff|command)\.(?P<at>delta|done)"
)
"""How the events are called that bring in pieces what a tool is given."""


def is_call(item: Mapping[str, Any]) -> bool:
    """Whether an item calls a tool."""
    kind = str(item.get("type"))
    return kind.endswith("_call") or kind in _OTHERS


def call_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The call that an item is; what a tool of free form is given stays a text."""
    kind = str(item.get("type"))
    name = item.get("name") or kind.removesuffix("_call")
    id = item.get("call_id") or (None if kind == "function_call" else item.get("id"))
    if kind == "custom_tool_call":
        made = call(name, {}, id)
        made["function"]["arguments"] = said(item.get("input"))
        return made
    given = next((item[key] for key in _GIVEN if item.get(key) is not None), None)
    if given is None:
        given = {key: value for key, value in item.items() if key not in _ITS_OWN}
    return call(name, given, id)


def outputs_of(item: Mapping[str, Any]) -> Content:
    """What came out of a tool: the output of a call, or what a server that ran it says beside it.

    Nothing of a search, whose finds are many and are the server's.
    """
    parts = [_output(item.get("output")), _output(item.get("outputs"))]
    return Content("".join(part.text for part in parts), sum(part.images for part in parts))


def _output(value: Any) -> Content:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        return contents_of("/v1/responses", value)[0]
    parts = [_shown(part) for part in value]
    return contents_of("/v1/responses", parts)[0]


def _shown(part: Any) -> Any:
    """A part of an output as a part of a message: a shell's lines, a log, a screenshot."""
    if not isinstance(part, Mapping):
        return part
    written = [part.get(key) for key in ("stdout", "stderr", "logs")]
    if any(isinstance(text, str) for text in written):
        return {"text": "".join(map(said, written))}
    return {"type": "image"} if part.get("type") == "computer_screenshot" else part


@dataclass(slots=True)
class _Begun:
    """A call that a stream tells."""

    item: Mapping[str, Any]
    index: Any
    pieces: dict[int, str] = field(default_factory=dict)
    """By the number of the command; all others have the number 0."""
    field: str = ""
    """What the pieces are of."""
    done: bool = False

    def is_of(self, value: Mapping[str, Any]) -> bool:
        """Whether an event names this call."""
        item = member(value, "item")
        names = (value.get("item_id"), item.get("id"), item.get("call_id"))
        return any(
            name and name in (self.item.get("id"), self.item.get("call_id")) for name in names
        )

    def take(self, field: str, value: Mapping[str, Any], *, whole: bool) -> None:
        """Take in a piece, or the whole of which there were pieces."""
        number = value.get("command_index")
        at = number if isinstance(number, int) else 0
        text = said(value.get(field.rpartition("_")[2] if whole else "delta"))
        if text or not whole:
            self.pieces[at] = text if whole else self.pieces.get(at, "") + text
            self.field = field

    def made(self) -> dict[str, Any]:
        """The call, as far as it came."""
        return call_of({**self.item, **self._given()}) if self.pieces else call_of(self.item)

    def _given(self) -> dict[str, Any]:
        texts = [self.pieces[number] for number in sorted(self.pieces)]
        if self.field == "command":
            return {"action": {**member(self.item, "action"), "commands": texts}}
        if self.field == "operation_diff":
            return {"operation": {**member(self.item, "operation"), "diff": "".join(texts)}}
        return {self.field: "".join(texts)}


class StreamedCalls:
    """The calls of a stream in the order in which they begin; one that was cut off, cut off."""

    def __init__(self) -> None:
        self._begun: list[_Begun] = []

    def take(self, kind: str, value: Mapping[str, Any]) -> None:
        """Take in an event, if it tells of a call."""
        item = member(value, "item")
        if kind == "response.output_item.added" and is_call(item):
            self._begun.append(_Begun(item, value.get("output_index")))
        elif kind == "response.output_item.done" and is_call(item):
            self._done(value, item)
        elif (piece := _PIECE.fullmatch(kind)) and (begun := self._open(value)):
            begun.take(piece["field"], value, whole=piece["at"] == "done")

    def made(self) -> list[dict[str, Any]]:
        """All calls."""
        return [begun.made() for begun in self._begun]

    def _done(self, value: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        begun = self._open(value)
        if begun is None:
            self._begun.append(begun := _Begun(item, value.get("output_index")))
        begun.item, begun.pieces, begun.done = item, {}, True

    def _open(self, value: Mapping[str, Any]) -> _Begun | None:
        """The call that an event goes on with: by its name, else by its place."""
        waiting = [begun for begun in self._begun if not begun.done]
        named = (begun for begun in waiting if begun.is_of(value))
        index = value.get("output_index")
        placed = (begun for begun in waiting if index is not None and begun.index == index)
        return next(named, None) or next(placed, None)


def calls_in(output: Any) -> Iterator[dict[str, Any]]:
    """The calls of a whole response's output."""
    return (call_of(item) for item in entries(output) if is_call(item))
