"""OpenAI's three routes as Ollama serves them: chat completions, completions, responses.

See `wire`. Questions are put in Ollama's own terms (`num_predict`, `format`, `think`), because its
middleware turns them into those before it renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qi_learn.capture.wire_stream import (
    ParsedAnswer,
    ParsedRequest,
    call,
    chosen,
    entries,
    json_objects,
    member,
    server_events,
    text_or_none,
    whole_number,
)
from qi_learn.content import Content, contents_of
from qi_learn.records import Message

_SAMPLING = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "max_output_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}


def chat_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/chat/completions`."""
    messages = entries(request.get("messages"))
    names = {
        str(made.get("id")): str(member(made, "function").get("name", ""))
        for message in messages
        for made in entries(message.get("tool_calls"))
    }
    return ParsedRequest(
        tuple(made for message in messages for made in _messages(message, names)),
        _options(request),
        _shape(request),
        _session(request),
    )


def _messages(message: Mapping[str, Any], names: Mapping[str, str]) -> list[Message]:
    """The messages that Ollama makes of one: as many as its content has parts."""
    content, role = message.get("content"), str(message.get("role", ""))
    extra = _beside(message, names)
    made = [
        Message(role, part.text, {"images": part.images} if part.images else {})
        for part in contents_of("/v1/chat/completions", content)
    ]
    if made:  # what Ollama refuses (no parts and no calls) never has an answer
        made[-1] = Message(role, made[-1].content, {**extra, **made[-1].extra})
    return made


def _beside(message: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What a message has beside its content."""
    extra: dict[str, Any] = {}
    if calls := entries(message.get("tool_calls")):
        extra["tool_calls"] = [
            call(
                member(made, "function").get("name"),
                member(made, "function").get("arguments"),
                made.get("id"),
            )
            for made in calls
        ]
    if message.get("role") == "tool" and (
        name := message.get("name") or names.get(str(message.get("tool_call_id")))
    ):
        extra["tool_name"] = name
    extra |= chosen(message, "tool_call_id")
    if thinking := text_or_none(message.get("reasoning")):
        extra["thinking"] = thinking
    return extra


def chat_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer in chunks with `choices[0].delta`, or one object with `choices[0].message`."""
    answer = ParsedAnswer()
    calls: dict[int, dict[str, Any]] = {}
    for choice in _choices(response, streamed, answer):
        part = member(choice, "delta") or member(choice, "message")
        answer.text += str(part.get("content") or "")
        answer.thinking += str(part.get("reasoning") or part.get("reasoning_content") or "")
        for made in entries(part.get("tool_calls")):
            _add_call(calls, made)
    answer.calls = [
        call(made["name"], made["arguments"], made["id"]) for _, made in sorted(calls.items())
    ]
    return answer


def _add_call(calls: dict[int, dict[str, Any]], made: Mapping[str, Any]) -> None:
    """Add a call, which comes whole (Ollama) or in pieces with parts of its arguments (OpenAI)."""
    index = whole_number(made.get("index"))
    built = calls.setdefault(
        len(calls) if index is None else index, {"name": "", "arguments": "", "id": None}
    )
    function = member(made, "function")
    built["id"] = made.get("id") or built["id"]
    built["name"] = function.get("name") or built["name"]
    arguments = function.get("arguments")
    in_pieces = isinstance(arguments, str) and isinstance(built["arguments"], str)
    built["arguments"] = (
        built["arguments"] + arguments if in_pieces else arguments or built["arguments"]
    )


def completion_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/completions`: one prompt, perhaps with a suffix."""
    prompt = request.get("prompt")
    text = "\n".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt or "")
    return ParsedRequest(
        (Message("prompt", text),), _options(request), chosen(request, "suffix"), _session(request)
    )


def completion_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer in chunks or one object, with `choices[0].text`."""
    answer = ParsedAnswer()
    for choice in _choices(response, streamed, answer):
        answer.text += str(choice.get("text") or "")
    return answer


def _choices(response: str, streamed: bool, answer: ParsedAnswer) -> Iterator[Mapping[str, Any]]:
    """The first choice of each chunk or of the one object; `answer` takes usage, end and errors."""
    for value in server_events(response) if streamed else json_objects(response):
        if value is None:
            answer.complete = True
            continue
        answer.more |= _error(value)
        if usage := member(value, "usage"):
            answer.prompt_tokens, answer.answer_tokens = (
                whole_number(usage.get("prompt_tokens")),
                whole_number(usage.get("completion_tokens")),
            )
        for choice in entries(value.get("choices")):
            if choice.get("index", 0) == 0:
                answer.done_reason = text_or_none(choice.get("finish_reason")) or answer.done_reason
                yield choice
        answer.complete = answer.complete or (not streamed and "choices" in value)


def response_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/responses`, a text or items, with the instructions as system message."""
    messages: list[Message] = []
    if instructions := text_or_none(request.get("instructions")):
        messages.append(Message("system", instructions))
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else entries(given)
    names = {
        str(item.get("call_id")): str(item.get("name", ""))
        for item in items
        if item.get("type") == "function_call"
    }
    for item in items:
        messages += _item(item, names)
    return ParsedRequest(tuple(messages), _options(request), _shape(request), _session(request))


def _item(item: Mapping[str, Any], names: Mapping[str, str]) -> list[Message]:
    kind = item.get("type", "message")
    if kind == "function_call":
        return [
            Message(
                "assistant",
                "",
                {
                    "tool_calls": [
                        call(item.get("name"), item.get("arguments"), item.get("call_id"))
                    ]
                },
            )
        ]
    if kind == "function_call_output":
        name = names.get(str(item.get("call_id")))
        extra = {"tool_name": name} if name else {}
        return [
            Message(
                "tool",
                _content(item.get("output")).text,
                {**extra, **chosen({"tool_call_id": item.get("call_id")}, "tool_call_id")},
            )
        ]
    if kind == "reasoning":
        return [Message("assistant", "", {"thinking": _content(item.get("summary")).text})]
    content = _content(item.get("content"))
    extra = {"images": content.images} if content.images else {}
    return [Message(str(item.get("role", "user")), content.text, extra)]


def _content(content: Any) -> Content:
    return contents_of("/v1/responses", content)[0]


def response_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer in typed events, the last of which holds the whole response.

    Deltas count only if that one never came.
    """
    if not streamed:
        return next((_response(value) for value in json_objects(response)), ParsedAnswer())
    answer = ParsedAnswer()
    for value in server_events(response):
        kind = str((value or {}).get("type", ""))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return _response(member(value, "response"))
        if kind == "response.output_text.delta":
            answer.text += str((value or {}).get("delta") or "")
        elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
            answer.thinking += str((value or {}).get("delta") or "")
        elif (
            kind == "response.output_item.done"
            and member(value, "item").get("type") == "function_call"
        ):
            item = member(value, "item")
            answer.calls.append(call(item.get("name"), item.get("arguments"), item.get("call_id")))
        elif kind == "error":
            answer.more |= _error(value or {})
    return answer


def _response(value: Mapping[str, Any]) -> ParsedAnswer:
    answer = ParsedAnswer(
        complete=value.get("status") in ("completed", "incomplete", "failed"), more=_error(value)
    )
    for item in entries(value.get("output")):
        if item.get("type") == "message":
            answer.text += "".join(
                str(part.get("text") or "") for part in entries(item.get("content"))
            )
        elif item.get("type") == "function_call":
            answer.calls.append(call(item.get("name"), item.get("arguments"), item.get("call_id")))
        elif item.get("type") == "reasoning":
            answer.thinking += _content(item.get("summary")).text
    usage = member(value, "usage")
    answer.prompt_tokens, answer.answer_tokens = (
        whole_number(usage.get("input_tokens")),
        whole_number(usage.get("output_tokens")),
    )
    answer.done_reason = text_or_none(
        member(value, "incomplete_details").get("reason")
    ) or text_or_none(value.get("status"))
    return answer


def _error(value: Mapping[str, Any]) -> dict[str, Any]:
    error = value.get("error")
    message = error.get("message") if isinstance(error, Mapping) else error
    return {"error": str(message)} if message else {}


def _options(request: Mapping[str, Any]) -> dict[str, Any]:
    return {
        theirs: request[name] for name, theirs in _SAMPLING.items() if request.get(name) is not None
    }


def _shape(request: Mapping[str, Any]) -> dict[str, Any]:
    shape = chosen(request, "tools")
    form = member(request, "response_format") or member(member(request, "text"), "format")
    if form.get("type") == "json_object":
        shape["format"] = "json"
    elif form.get("type") == "json_schema":
        shape["format"] = member(form, "json_schema").get("schema") or form.get("schema")
    if effort := text_or_none(request.get("reasoning_effort")) or text_or_none(
        member(request, "reasoning").get("effort")
    ):
        shape["think"] = False if effort == "none" else effort
    return shape


def _session(request: Mapping[str, Any]) -> str | None:
    return text_or_none(request.get("prompt_cache_key")) or text_or_none(
        member(request, "metadata").get("session_id")
    )
