"""Answers as clients' models give them: text, and tool calls in Ollama's own form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qi_learn.edits.dialects import edits_of
from qi_learn.edits.edit import Edit
from qi_learn.records import Message, Turn

Plain = tuple[str | None, str | None, str]
"""Path, old and new of an edit."""


def turn(text: str = "", calls: Sequence[Any] = (), asked: str = "Do it.") -> Turn:
    extra = {"tool_calls": list(calls)} if calls else {}
    messages = (Message("user", asked),)
    return Turn("t", "/api/chat", "m", "m", messages, text, 0.0, 1.0, answer_extra=extra)


def call(name: str, arguments: Any, id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return {"id": id, **made} if id else made


def of_call(name: str, arguments: Any) -> list[Plain]:
    """Path, old and new of the edits of one call."""
    return plain(edits_of(turn(calls=[call(name, arguments)])))


def of_text(text: str, asked: str = "Do it.") -> list[Plain]:
    """The same of an answer's text. Whatever has a place in it stands there as it is."""
    edits = edits_of(turn(text, asked=asked))
    for edit in edits:
        assert edit.start == -1 or text[edit.start : edit.end] == edit.new
    return plain(edits)


def plain(edits: Sequence[Edit]) -> list[Plain]:
    return [(edit.path, edit.old, edit.new) for edit in edits]
