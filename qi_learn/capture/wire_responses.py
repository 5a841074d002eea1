"""OpenAI's responses, as Ollama serves them. See `wire`.

Items become the messages that Ollama makes of them (`openai/responses.go`): a function call joins
the assistant's message before it, and a reasoning goes to the assistant's message behind it, with
the text of `encrypted_content` (which Ollama fills with plain text; a summary alone is not read).
Calls of tools that Ollama does not know are taken alike (`response_calls`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.capture.response_calls import StreamedCalls, call_of, calls_in, is_call, outputs_of
from qi_learn.capture.wire_openai import error_of, options_of, session_of, shape_of
from qi_learn.capture.wire_stream import (
    ParsedAnswer,
    ParsedRequest,
    chosen,
    entries,
    json_objects,
    member,
    said,
    server_events,
    text_or_none,
    whole_number,
    with_cached,
)
from qi_learn.content import Content, contents_of
from qi_learn.records import Message


def response_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/responses`, a text or items, with the instructions as system message."""
    conversation = _Conversation()
    if instructions := text_or_none(request.get("instructions")):
        conversation.messages.append(Message("system", instructions))
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else entries(given)
    for item in items:
        conversation.add(item)
    return ParsedRequest(
        conversation.whole(), options_of(request), shape_of(request), session_of(request)
    )


class _Conversation:
    """The messages that items become."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._thought = ""
        """A reasoning that waits for its message."""
        self._names: dict[str, str] = {}

    def add(self, item: Mapping[str, Any]) -> None:
        """Take one item in."""
        kind = item.get("type") or "message"
        if is_call(item):
            self._call(item)
        elif str(kind).endswith("_call_output"):
            self._output(item.get("call_id"), item)
        elif kind == "reasoning":
            self._thought = str(item.get("encrypted_content") or "")
        elif kind == "message":
            self._message(item)

    def whole(self) -> tuple[Message, ...]:
        """All messages; a reasoning that nothing followed is one."""
        last = [Message("assistant", "", self._thinking())] if self._thought else []
        return (*self.messages, *last)

    def _thinking(self) -> dict[str, Any]:
        thought, self._thought = self._thought, ""
        return {"thinking": thought} if thought else {}

    def _message(self, item: Mapping[str, Any]) -> None:
        content, role = _content(item.get("content")), str(item.get("role", "user"))
        extra: dict[str, Any] = self._thinking() if role == "assistant" else {}
        if content.images:
            extra["images"] = content.images
        self.messages.append(Message(role, content.text, extra))

    def _call(self, item: Mapping[str, Any]) -> None:
        made = call_of(item)
        self._names[str(made.get("id"))] = str(made["function"]["name"])
        before = self.messages[-1] if self.messages else None
        if before is not None and before.role == "assistant":
            self.messages.pop()
            calls = [*before.extra.get("tool_calls", []), made]
            extra = {**before.extra, "tool_calls": calls, **self._thinking()}
            self.messages.append(Message("assistant", before.content, extra))
        else:
            extra = {"tool_calls": [made], **self._thinking()}
            self.messages.append(Message("assistant", "", extra))
        if outputs_of(item) != Content():  # the server ran the tool itself
            self._output(made.get("id"), item)

    def _output(self, id: Any, item: Mapping[str, Any]) -> None:
        content = outputs_of(item)
        extra = {
            "tool_name": self._names.get(str(id)),
            "tool_call_id": id,
            "images": content.images or None,
        }
        self.messages.append(Message("tool", content.text, chosen(extra, *extra)))


def _content(content: Any) -> Content:
    return contents_of("/v1/responses", content)[0]


def response_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer in typed events, the last of which holds the whole response.

    Deltas count for what that one lacks: it may never come, or come without output.
    """
    if not streamed:
        return next((_response(value) for value in json_objects(response)), ParsedAnswer())
    answer, calls = ParsedAnswer(), StreamedCalls()
    for event in server_events(response):
        value = event or {}
        kind = str(value.get("type", ""))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            answer.calls = calls.made()
            return _completed(_response(member(value, "response")), answer)
        if kind == "response.output_text.delta":
            answer.text += said(value.get("delta"))
        elif kind == "response.refusal.delta":
            answer.refusal += said(value.get("delta"))
        elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
            answer.thinking += said(value.get("delta"))
        elif kind == "error":
            answer.more |= error_of(value) or error_of({"error": value})
        else:
            calls.take(kind, value)
    answer.calls = calls.made()
    return answer


def _completed(whole: ParsedAnswer, pieces: ParsedAnswer) -> ParsedAnswer:
    """The whole response, with what came only in pieces."""
    whole.text = whole.text or pieces.text
    whole.thinking = whole.thinking or pieces.thinking
    whole.refusal = whole.refusal or pieces.refusal
    whole.calls = whole.calls or pieces.calls
    whole.more = {**pieces.more, **whole.more}
    return whole


def _response(value: Mapping[str, Any]) -> ParsedAnswer:
    answer = ParsedAnswer(
        complete=value.get("status") in ("completed", "incomplete"), more=error_of(value)
    )
    for item in entries(value.get("output")):
        if item.get("type") == "message":
            for part in entries(item.get("content")):
                answer.text += said(part.get("text"))
                answer.refusal += said(part.get("refusal"))
        elif item.get("type") == "reasoning":
            answer.thinking += _content(item.get("summary")).text
    answer.calls = list(calls_in(value.get("output")))
    usage = member(value, "usage")
    answer.prompt_tokens = with_cached(
        whole_number(usage.get("input_tokens")), member(usage, "input_tokens_details")
    )
    answer.answer_tokens = whole_number(usage.get("output_tokens"))
    answer.done_reason = text_or_none(
        member(value, "incomplete_details").get("reason")
    ) or text_or_none(value.get("status"))
    return answer
