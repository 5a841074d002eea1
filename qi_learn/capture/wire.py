"""From the bytes that passed the gateway to a Turn.

Ollama's own two routes are decoded here, the four `/v1` routes in `wire_openai`,
`wire_responses` and `wire_anthropic`.

Pure, and off the hot path: the daemon decodes when it drains the spool. Partial streams are kept
(`complete=False`), and so are refused requests: their `status` says so, and the server's words are
in `answer_extra["error"]`. Images are left out of messages and counted there (`extra["images"]`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from qi_learn.capture import wire_anthropic, wire_openai, wire_responses
from qi_learn.capture.bare_turn import bare_turn, is_bare
from qi_learn.capture.imported_turn import imported_mark, is_returning, returning_turn
from qi_learn.capture.wire_stream import (
    ParsedAnswer,
    ParsedRequest,
    chosen,
    entries,
    first_object,
    json_objects,
    member,
    said,
    server_events,
    text_or_none,
    whole_number,
    words_of,
)
from qi_learn.content import contents_of
from qi_learn.media_type import EVENT_STREAM, media_type
from qi_learn.records import Event, Message, Turn
from qi_learn.storable import storable_number, storable_text, storable_value

Reader = tuple[Callable[[Mapping[str, Any]], ParsedRequest], Callable[[str, bool], ParsedAnswer]]


def decode(event: Event) -> Turn:
    """The turn in a `turn` event.

    Raises ValueError if the event is none, or its request is not what its endpoint takes.
    """
    if is_bare(event):
        return _storable(bare_turn(event))
    if is_returning(event):
        return _storable(returning_turn(event))
    body = event.body
    endpoint = _text(body, "endpoint")
    if endpoint not in _READERS:
        raise ValueError(f"{endpoint!r} is no endpoint that answers")
    read_question, read_answer = _READERS[endpoint]
    question = read_question(first_object(_text(body, "request")))
    status = whole_number(body.get("status"))
    if status is None:
        raise ValueError("a turn without status")
    response = _text(body, "response")
    streamed = _is_events(response, str(body.get("content_type") or ""))
    answer = read_answer(response, streamed) if status < 400 else _refusal(response)
    if (ends := _line_ends(question)) != "\n":
        question = _with_plain_lines(question)
        answer.text = answer.text.replace(ends, "\n")
    model_asked = _text(body, "model_asked")
    started = _number(body, "started", event.ts)
    turn = Turn(
        id=event.id,
        endpoint=endpoint,
        model_asked=model_asked,
        model_answered=text_or_none(body.get("model_answered")) or model_asked,
        messages=question.messages,
        answer=answer.text,
        started=started,
        ended=_number(body, "ended", event.ts),
        model_digest=text_or_none(body.get("model_digest")),
        answer_extra=answer.extra,
        options=question.options,
        request={**question.request, **imported_mark(body)},
        status=status,
        cancelled=body.get("cancelled") is True,
        complete=answer.complete and body.get("broken") is not True,
        done_reason=answer.done_reason,
        prompt_tokens=answer.prompt_tokens,
        answer_tokens=answer.answer_tokens,
        session=text_or_none(body.get("session")) or question.session,
        project=event.project,
        client=text_or_none(body.get("client")),
    )
    return _storable(turn)


def question_of(endpoint: str, request: str) -> tuple[Message, ...]:
    """The messages of a request, as `decode` reads them. Raises ValueError if it is none."""
    if endpoint not in _READERS:
        raise ValueError(f"{endpoint!r} is no endpoint that answers")
    messages = _READERS[endpoint][0](first_object(request)).messages
    return tuple(map(_storable_message, messages))


def _is_events(response: str, content_type: str) -> bool:
    """Whether an answer is server-sent events: some proxies send another content type along.

    Its own beginning decides; of one that has none yet, the content type.
    """
    begins = response[:200].lstrip("\ufeff \t\r\n")
    if begins.startswith("{"):
        return False
    named = begins.startswith((":", *(f"{field}:" for field in ("data", "event", "id", "retry"))))
    return named or media_type(content_type) == EVENT_STREAM


def _storable(turn: Turn) -> Turn:
    """The turn as the database can hold it, whatever client and server wrote."""
    names = (*("model_asked", "model_answered", "model_digest", "done_reason"), "session", "client")
    texts = {name: storable_value(getattr(turn, name)) for name in (*names, "project", "answer")}
    values = {
        name: storable_value(getattr(turn, name)) for name in ("answer_extra", "options", "request")
    }
    return replace(
        turn,
        **texts,
        **values,
        messages=tuple(map(_storable_message, turn.messages)),
        prompt_tokens=storable_number(turn.prompt_tokens),
        answer_tokens=storable_number(turn.answer_tokens),
    )


def _storable_message(message: Message) -> Message:
    role, content = storable_text(message.role), storable_text(message.content)
    extra = storable_value(message.extra)
    if (role, content, extra) == (message.role, message.content, message.extra):
        return message
    return Message(role, content, extra)


def _line_ends(question: ParsedRequest) -> str:
    """The line ends of the file that a completion continues.

    CRLF only if every line of the prompt and of what stands behind it ends so.
    """
    if [message.role for message in question.messages] != ["prompt"]:
        return "\n"
    sides = question.messages[0].content + str(question.request.get("suffix") or "")
    return "\r\n" if "\r\n" in sides and "\n" not in sides.replace("\r\n", "") else "\n"


def _with_plain_lines(question: ParsedRequest) -> ParsedRequest:
    """A completion's question with plain line ends; `line_ends` keeps what they were."""
    prompt = question.messages[0]
    plain = Message(prompt.role, prompt.content.replace("\r\n", "\n"), prompt.extra)
    request = {**question.request, "line_ends": "\r\n"}
    if isinstance(suffix := request.get("suffix"), str):
        request["suffix"] = suffix.replace("\r\n", "\n")
    return ParsedRequest((plain,), question.options, request, question.session)


def _chat_question(request: Mapping[str, Any]) -> ParsedRequest:
    messages = tuple(_message(message) for message in entries(request.get("messages")))
    return ParsedRequest(
        messages, member(request, "options"), chosen(request, "format", "tools", "think")
    )


def _message(message: Mapping[str, Any]) -> Message:
    text = contents_of("/api/chat", message.get("content"))[0].text
    extra = chosen(message, "tool_calls", "tool_name", "tool_call_id", "thinking")
    if images := _images(message):
        extra["images"] = images
    return Message(str(message.get("role", "")), text, extra)


def _images(value: Mapping[str, Any]) -> int:
    images = value.get("images")
    return len(images) if isinstance(images, list) else 0


def _generate_question(request: Mapping[str, Any]) -> ParsedRequest:
    images = _images(request)
    prompt = Message(
        "prompt", text_or_none(request.get("prompt")) or "", {"images": images} if images else {}
    )
    return ParsedRequest(
        (prompt,),
        member(request, "options"),
        chosen(request, "system", "template", "raw", "suffix", "format", "think", "context"),
    )


def _native_answer(response: str, streamed: bool) -> ParsedAnswer:
    """The answer of `/api/chat` and `/api/generate`: NDJSON or one object, counts at its end."""
    answer = ParsedAnswer()
    for event in server_events(response) if streamed else json_objects(response):
        value = event or {}
        message = member(value, "message")
        answer.text += said(message.get("content") or value.get("response"))
        answer.thinking += said(message.get("thinking") or value.get("thinking"))
        answer.calls += [
            dict(call) for call in entries(message.get("tool_calls") or value.get("tool_calls"))
        ]
        answer.more |= chosen(value, "error", "remote_host")
        if value.get("done") is True:
            answer.complete = True
            answer.done_reason = text_or_none(value.get("done_reason"))
            answer.prompt_tokens, answer.answer_tokens = (
                whole_number(value.get("prompt_eval_count")),
                whole_number(value.get("eval_count")),
            )
    return answer


def _refusal(response: str) -> ParsedAnswer:
    """The server's error in place of an answer: a text, or an object with a `message`."""
    error: Any = next((value.get("error") for value in json_objects(response)), None)
    words = words_of(error)
    return ParsedAnswer(more={"error": words} if words else {}, complete=error is not None)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise ValueError(f"a turn without {key}")
    return value


def _number(body: Mapping[str, Any], key: str, default: float) -> float:
    value = body.get(key)
    return (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default
    )


_READERS: dict[str, Reader] = {
    "/api/chat": (_chat_question, _native_answer),
    "/api/generate": (_generate_question, _native_answer),
    "/v1/chat/completions": (wire_openai.chat_question, wire_openai.chat_answer),
    "/v1/completions": (wire_openai.completion_question, wire_openai.completion_answer),
    "/v1/responses": (wire_responses.response_question, wire_responses.response_answer),
    "/v1/messages": (wire_anthropic.message_question, wire_anthropic.message_answer),
}
