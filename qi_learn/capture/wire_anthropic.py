"""Anthropic's `/v1/messages` as Ollama serves it. See `wire`.

A message's blocks become what Ollama makes of them: the texts one content, the tool uses tool
calls, each tool result a message of its own, in front of what a user says beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.capture.wire_stream import (
    ParsedAnswer,
    ParsedRequest,
    call,
    chosen,
    entries,
    json_objects,
    member,
    said,
    server_events,
    text_or_none,
    whole_number,
    words_of,
)
from qi_learn.content import Content, contents_of
from qi_learn.records import Message

_SAMPLING = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}


def message_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/messages`, with the system prompt as the first message."""
    messages: list[Message] = []
    if system := _content(request.get("system")).text:
        messages.append(Message("system", system))
    given = entries(request.get("messages"))
    used = [
        block
        for message in given
        for block in entries(message.get("content"))
        if _uses_a_tool(block)
    ]
    names = {str(block.get("id")): str(block.get("name", "")) for block in used}
    for message in given:
        messages += _messages(message, names)
    options = {
        theirs: request[name] for name, theirs in _SAMPLING.items() if request.get(name) is not None
    }
    shape = chosen(request, "tools")
    if (think := _think(request)) is not None:
        shape["think"] = think
    return ParsedRequest(
        tuple(messages), options, shape, text_or_none(member(request, "metadata").get("user_id"))
    )


def _think(request: Mapping[str, Any]) -> bool | str | None:
    """Whether the model is to think, and how much; None if the request does not say."""
    kind = member(request, "thinking").get("type")
    if kind in ("enabled", "disabled"):
        return bool(kind == "enabled")
    effort = str(member(request, "output_config").get("effort") or "").strip().lower()
    effort = "high" if effort == "xhigh" else effort
    return effort if effort in ("low", "medium", "high", "max") else None


def _messages(message: Mapping[str, Any], names: Mapping[str, str]) -> list[Message]:
    role, blocks = str(message.get("role", "")).lower(), entries(message.get("content"))
    content = _content(message.get("content"))
    extra: dict[str, Any] = {}
    if calls := [
        call(block.get("name"), block.get("input"), block.get("id"))
        for block in blocks
        if _uses_a_tool(block)
    ]:
        extra["tool_calls"] = calls
    thoughts = [str(b.get("thinking") or "") for b in blocks if b.get("type") == "thinking"]
    if thoughts and thoughts[-1]:
        extra["thinking"] = thoughts[-1]
    if content.images:
        extra["images"] = content.images
    results = [_result(block, names) for block in blocks if block.get("type") == "tool_result"]
    said = [Message(role, content.text, extra)] if content.text or extra or not results else []
    return results + said if role == "user" else said + results


def _uses_a_tool(block: Mapping[str, Any]) -> bool:
    """Whether a block calls a tool: the client's, the server's or another server's."""
    return str(block.get("type")).endswith("tool_use")


def _content(content: Any) -> Content:
    return contents_of("/v1/messages", content)[0]


def _result(block: Mapping[str, Any], names: Mapping[str, str]) -> Message:
    content = _content(block.get("content"))
    id = str(block.get("tool_use_id", ""))
    return Message(
        "tool",
        content.text,
        chosen(
            {"tool_name": names.get(id), "tool_call_id": id, "images": content.images or None},
            "tool_name",
            "tool_call_id",
            "images",
        ),
    )


def message_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer of `/v1/messages`: typed events by block, or one message with its blocks."""
    answer = ParsedAnswer()
    if not streamed:
        for value in json_objects(response):
            for block in entries(value.get("content")):
                _add_block(answer, block)
            _add_end(answer, value, member(value, "usage"))
            answer.complete = value.get("type") == "message"
        return answer
    written: dict[int, str] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for event in server_events(response):
        _add_event(answer, event or {}, blocks, written)
    for index, block in sorted(blocks.items()):
        _add_block(answer, {**block, "input": written[index]} if index in written else block)
    return answer


def _add_event(
    answer: ParsedAnswer,
    event: Mapping[str, Any],
    blocks: dict[int, dict[str, Any]],
    written: dict[int, str],
) -> None:
    kind, index = event.get("type"), whole_number(event.get("index")) or 0
    if kind == "content_block_start":
        blocks[index] = dict(member(event, "content_block"))
    elif kind == "content_block_delta":
        delta, block = member(event, "delta"), blocks.setdefault(index, {"type": "text"})
        for key in ("text", "thinking"):
            if isinstance(delta.get(key), str):
                block[key] = str(block.get(key) or "") + delta[key]
        if isinstance(delta.get("partial_json"), str):
            written[index] = written.get(index, "") + delta["partial_json"]
    elif kind == "message_delta":
        _add_end(answer, member(event, "delta"), member(event, "usage"))
    elif kind == "message_stop":
        answer.complete = True
    elif kind == "error":
        answer.more["error"] = words_of(event.get("error"))


def _add_block(answer: ParsedAnswer, block: Mapping[str, Any]) -> None:
    if block.get("type") == "text":
        answer.text += said(block.get("text"))
    elif block.get("type") == "thinking":
        answer.thinking += said(block.get("thinking"))
    elif _uses_a_tool(block):
        answer.calls.append(call(block.get("name"), block.get("input"), block.get("id")))


def _add_end(answer: ParsedAnswer, end: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
    answer.done_reason = text_or_none(end.get("stop_reason")) or answer.done_reason
    answer.prompt_tokens = _prompt_tokens(usage) or answer.prompt_tokens
    answer.answer_tokens = whole_number(usage.get("output_tokens")) or answer.answer_tokens


def _prompt_tokens(usage: Mapping[str, Any]) -> int | None:
    """The tokens of the whole prompt: this API counts what was or will be cached apart."""
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    parts = [whole_number(usage.get(name)) for name in ("input_tokens", *cached)]
    return None if parts[0] is None else sum(part or 0 for part in parts)
