"""OpenAI's chat completions and completions, as Ollama serves them.

See `wire`. Questions are put in Ollama's own terms (`num_predict`, `format`, `think`), because its
middleware turns them into those before it renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    thought,
    whole_number,
    with_cached,
    words_of,
)
from qi_learn.content import contents_of
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
        str(made.get("id")): str(_called(made).get("name", ""))
        for message in messages
        for made in entries(message.get("tool_calls"))
    }
    return ParsedRequest(
        tuple(made for message in messages for made in _messages(message, names)),
        options_of(request),
        shape_of(request),
        session_of(request),
    )


def _messages(message: Mapping[str, Any], names: Mapping[str, str]) -> list[Message]:
    """The messages that Ollama makes of one: as many as its content has parts."""
    content, role = message.get("content"), str(message.get("role", ""))
    extra = _beside(message, names)
    made = [
        Message(role, part.text, {"images": part.images} if part.images else {})
        for part in contents_of("/v1/chat/completions", content)
    ]
    if extra and not made:  # no parts, but calls or the like: they must not be lost
        return [Message(role, "", extra)]
    if made:
        made[-1] = Message(role, made[-1].content, {**extra, **made[-1].extra})
    return made


def _beside(message: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What a message has beside its content."""
    extra: dict[str, Any] = {}
    if calls := _calls(message):
        extra["tool_calls"] = [_whole_call(made) for made in calls]
    if message.get("role") in ("tool", "function") and (
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
    calls: list[_Call] = []
    for choice in _choices(response, streamed, answer):
        part = member(choice, "delta") or member(choice, "message")
        answer.text += said(part.get("content"))
        answer.thinking += thought(part.get("content"))
        answer.thinking += said(part.get("reasoning") or part.get("reasoning_content"))
        answer.refusal += said(part.get("refusal"))
        for made in _calls(part):
            _add_call(calls, made)
    answer.calls = [made.whole() for made in calls]
    return answer


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool calls of a message, or the one call of older clients and servers."""
    old = member(message, "function_call")
    return entries(message.get("tool_calls")) or ([{"index": 0, "function": old}] if old else [])


def _called(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name of a call's tool, and what it is given: of a function, or of free form."""
    return member(made, "function") or member(made, "custom")


def _whole_call(made: Mapping[str, Any]) -> dict[str, Any]:
    called = _called(made)
    free, given = "input" in called, called.get("arguments")
    return _Call(
        None, made.get("id"), called.get("name") or "", called.get("input", given), free
    ).whole()


@dataclass(slots=True)
class _Call:
    """A tool call as it is put together."""

    index: int | None
    id: str | None
    name: str
    arguments: Any = ""
    free: bool = False
    """Whether its tool is given a text, whatever that looks like."""

    def whole(self) -> dict[str, Any]:
        """The call as it is kept."""
        made = call(self.name, {} if self.free else self.arguments, self.id)
        if self.free:
            made["function"]["arguments"] = said(self.arguments)
        return made

    def goes_on(self, index: int | None, id: str | None, name: str) -> bool:
        """Whether a piece belongs to this call and does not begin another.

        Servers give each call an index and its first piece an id and a name. Ollama's have been
        seen to give several whole calls one index: a new id begins a new call, and without ids a
        name does once there are arguments.
        """
        if index != self.index or (index is None and (id or name)):
            return False
        if id and self.id:
            return id == self.id
        return not (name and self.arguments)


def _add_call(calls: list[_Call], made: Mapping[str, Any]) -> None:
    """Add a call, which comes whole (Ollama) or in pieces with parts of its arguments (OpenAI)."""
    index, id = whole_number(made.get("index")), text_or_none(made.get("id"))
    called = _called(made)
    name, arguments = str(called.get("name") or ""), called.get("input", called.get("arguments"))
    built = next((call for call in reversed(calls) if call.goes_on(index, id, name)), None)
    if built is None:
        built = _Call(index, id, name)
        calls.append(built)
    built.id, built.name = id or built.id, built.name or name
    built.free = built.free or "input" in called
    if isinstance(arguments, str) and isinstance(built.arguments, str):
        built.arguments += arguments
    elif arguments:
        built.arguments = arguments


def completion_question(request: Mapping[str, Any]) -> ParsedRequest:
    """The question of `/v1/completions`: one prompt, perhaps with a suffix."""
    prompt = request.get("prompt")
    text = "\n".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt or "")
    return ParsedRequest(
        (Message("prompt", text),),
        options_of(request),
        chosen(request, "suffix"),
        session_of(request),
    )


def completion_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer in chunks or one object, with `choices[0].text`."""
    answer = ParsedAnswer()
    for choice in _choices(response, streamed, answer):
        answer.text += said(choice.get("text"))
    return answer


def _choices(response: str, streamed: bool, answer: ParsedAnswer) -> Iterator[Mapping[str, Any]]:
    """The first choice of each chunk or of the one object; `answer` takes usage, end and errors."""
    for value in server_events(response) if streamed else json_objects(response):
        if value is None:
            answer.complete = True
            continue
        answer.more |= error_of(value)
        if usage := member(value, "usage"):
            answer.prompt_tokens = with_cached(
                whole_number(usage.get("prompt_tokens")), member(usage, "prompt_tokens_details")
            )
            answer.answer_tokens = whole_number(usage.get("completion_tokens"))
        for choice in entries(value.get("choices")):
            if choice.get("index", 0) == 0:
                answer.done_reason = text_or_none(choice.get("finish_reason")) or answer.done_reason
                yield choice
        answer.complete = answer.complete or (not streamed and "choices" in value)
    if "error" in answer.more:  # told in the stream: what it ended is no whole answer
        answer.complete = False


def error_of(value: Mapping[str, Any]) -> dict[str, Any]:
    words = words_of(value.get("error"))
    return {"error": words} if words else {}


def options_of(request: Mapping[str, Any]) -> dict[str, Any]:
    return {
        theirs: request[name] for name, theirs in _SAMPLING.items() if request.get(name) is not None
    }


def shape_of(request: Mapping[str, Any]) -> dict[str, Any]:
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


def session_of(request: Mapping[str, Any]) -> str | None:
    return text_or_none(request.get("prompt_cache_key")) or text_or_none(
        member(request, "metadata").get("session_id")
    )
