"""How each door writes an answer down: the objects, with their keys in the recordings' order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from qi_learn.engine.generate import AnswerEnd, Piece, TokenLogprob, ToolCall
from qi_learn.engine.replies import NDJSON, SSE, dumps, now_text, reply, reply_v1


class Format(Protocol):
    """One door's way of writing."""

    @property
    def content_type(self) -> str: ...
    def piece(self, piece: Piece) -> bytes: ...
    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes: ...
    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response: ...


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """/api/chat."""

    model: str
    content_type: str = NDJSON

    def head(self, text: str, thinking: str = "", calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The keys that every object begins with."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        return {"model": self.model, "created_at": now_text(), "message": message}

    def blank(self) -> dict[str, Any]:
        """The text of an object without any."""
        return {"message": {"role": "", "content": ""}}

    def tail(self, ended: AnswerEnd) -> dict[str, Any]:
        """What the last object has besides counts and durations."""
        return {}

    def piece(self, piece: Piece) -> bytes:
        head = self.head(piece.text, piece.thinking, piece.calls)
        return (dumps({**head, "done": False, **_logprobs([piece])}) + "\n").encode()

    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes:
        counts = {**self.tail(ended), **_durations(ended, load_seconds, seconds)}
        return (
            dumps({**self.head(""), "done": True, "done_reason": ended.reason, **counts}) + "\n"
        ).encode()

    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response:
        head = {
            **self.head(*_joined(pieces)),
            "done": True,
            "done_reason": ended.reason,
        }
        return reply(
            {
                **head,
                **self.tail(ended),
                **_logprobs(pieces),
                **_durations(ended, load_seconds, seconds),
            }
        )

    def empty(self, reason: str) -> web.Response:
        """The answer to a request without a question: `load` or `unload`."""
        return reply({**self.head(""), "done": True, "done_reason": reason})

    def rendered(self, prompt: str) -> web.Response:
        """The answer to `_debug_render_only`."""
        return reply(
            {
                **self.head(""),
                **self.blank(),
                "done": False,
                "_debug_info": {"rendered_template": prompt},
            }
        )


@dataclass(frozen=True, slots=True)
class GenerateFormat(ChatFormat):
    """/api/generate."""

    tell_context: bool = True
    """Whether the answer brings the tokens to go on from; a raw one does not."""

    def head(self, text: str, thinking: str = "", calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        thought = {"thinking": thinking} if thinking else {}
        return {"model": self.model, "created_at": now_text(), "response": text, **thought}

    def blank(self) -> dict[str, Any]:
        return {"response": ""}

    def tail(self, ended: AnswerEnd) -> dict[str, Any]:
        return {"context": list(ended.ids)} if self.tell_context else {}


def _joined(pieces: Sequence[Piece]) -> tuple[str, str, list[ToolCall]]:
    """The text, the thoughts and the calls of a whole answer."""
    text, thinking = "".join(p.text for p in pieces), "".join(p.thinking for p in pieces)
    return text, thinking, [call for piece in pieces for call in piece.calls]


def _call(call: ToolCall) -> dict[str, Any]:
    """A tool call as Ollama writes it."""
    function = {"index": call.index, "name": call.name, "arguments": dict(call.arguments)}
    return {"id": call.id, "function": function}


def _v1_message(text: str, thinking: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
    """A message, or a part of one, as OpenAI writes it: a call's arguments are text."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["reasoning"] = thinking
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "index": call.index,
                "type": "function",
                "function": {"name": call.name, "arguments": dumps(call.arguments)},
            }
            for call in calls
        ]
    return message


def _v1_reason(ended: AnswerEnd) -> str:
    return "tool_calls" if ended.calls and ended.reason == "stop" else ended.reason


def _logprobs(pieces: Sequence[Piece]) -> dict[str, Any]:
    written = [_logprob(one) for piece in pieces for one in piece.logprobs]
    return {"logprobs": written} if written else {}


def _logprob(one: TokenLogprob) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "token": one.text.decode("utf-8", "replace"),
        "logprob": one.logprob,
        "bytes": list(one.text),
    }
    return shown | ({"top_logprobs": [_logprob(other) for other in one.top]} if one.top else {})


def _durations(ended: AnswerEnd, load_seconds: float, seconds: float) -> dict[str, int]:
    """Counts and nanoseconds, without zeros, as in Ollama's answers."""
    counts = {
        "total_duration": int(seconds * 1e9),
        "load_duration": max(int(load_seconds * 1e9), 1),
        "prompt_eval_count": ended.prompt_tokens,
        "prompt_eval_duration": int(ended.prompt_seconds * 1e9),
        "eval_count": ended.answer_tokens,
        "eval_duration": int(ended.answer_seconds * 1e9),
    }
    return {name: value for name, value in counts.items() if value}


def _usage(ended: AnswerEnd) -> dict[str, int]:
    return {
        "prompt_tokens": ended.prompt_tokens,
        "completion_tokens": ended.answer_tokens,
        "total_tokens": ended.prompt_tokens + ended.answer_tokens,
    }


@dataclass(slots=True)
class V1ChatFormat:
    """/v1/chat/completions."""

    model: str
    include_usage: bool = False
    content_type: str = SSE
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.randbelow(999) + 1}")
    created: int = field(default_factory=lambda: int(time.time()))
    spoken: bool = False
    """Whether a chunk with the role went out."""

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> str:
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }
        return f"data: {dumps({**head, 'choices': choices, **(more or {})})}\n\n"

    def piece(self, piece: Piece) -> bytes:
        delta = _v1_message(piece.text, piece.thinking, piece.calls)
        if self.spoken:
            del delta["role"]
        self.spoken = True
        return self._chunk(
            [{"index": 0, "delta": delta, "finish_reason": None, **_v1_logprobs([piece])}]
        ).encode()

    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes:
        last = self._chunk([{"index": 0, "delta": {}, "finish_reason": _v1_reason(ended)}])
        usage = self._chunk([], {"usage": _usage(ended)}) if self.include_usage else ""
        return (last + usage + "data: [DONE]\n\n").encode()

    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response:
        message = _v1_message(*_joined(pieces))
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": _v1_reason(ended),
            **_v1_logprobs(pieces),
        }
        head = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }
        return reply_v1({**head, "choices": [choice], "usage": _usage(ended)})


def _v1_logprobs(pieces: Sequence[Piece]) -> dict[str, Any]:
    written = _logprobs(pieces)
    return {"logprobs": {"content": written["logprobs"]}} if written else {}


@dataclass(slots=True)
class V1CompletionFormat(V1ChatFormat):
    """/v1/completions."""

    id: str = field(default_factory=lambda: f"cmpl-{secrets.randbelow(999) + 1}")

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> str:
        head = {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "choices": choices,
            "model": self.model,
        }
        return f"data: {dumps({**head, 'system_fingerprint': 'fp_ollama', **(more or {})})}\n\n"

    def piece(self, piece: Piece) -> bytes:
        return self._chunk([{"text": piece.text, "index": 0, "finish_reason": None}]).encode()

    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes:
        last = self._chunk([{"text": "", "index": 0, "finish_reason": ended.reason}])
        usage = self._chunk([], {"usage": _usage(ended)}) if self.include_usage else ""
        return (last + usage + "data: [DONE]\n\n").encode()

    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response:
        choice = {
            "text": "".join(p.text for p in pieces),
            "index": 0,
            "finish_reason": ended.reason,
        }
        head = {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }
        return reply_v1({**head, "choices": [choice], "usage": _usage(ended)})
