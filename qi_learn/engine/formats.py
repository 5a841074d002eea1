"""How each door writes an answer down: the objects, with their keys in the recordings' order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from qi_learn.engine.generate import AnswerEnd, Piece, TokenLogprob
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

    def head(self, text: str) -> dict[str, Any]:
        """The keys that every object begins with."""
        return {
            "model": self.model,
            "created_at": now_text(),
            "message": {"role": "assistant", "content": text},
        }

    def blank(self) -> dict[str, Any]:
        """The text of an object without any."""
        return {"message": {"role": "", "content": ""}}

    def tail(self, ended: AnswerEnd) -> dict[str, Any]:
        """What the last object has besides counts and durations."""
        return {}

    def piece(self, piece: Piece) -> bytes:
        return (
            dumps({**self.head(piece.text), "done": False, **_logprobs([piece])}) + "\n"
        ).encode()

    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes:
        counts = {**self.tail(ended), **_durations(ended, load_seconds, seconds)}
        return (
            dumps({**self.head(""), "done": True, "done_reason": ended.reason, **counts}) + "\n"
        ).encode()

    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response:
        head = {
            **self.head("".join(p.text for p in pieces)),
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

    def head(self, text: str) -> dict[str, Any]:
        return {"model": self.model, "created_at": now_text(), "response": text}

    def blank(self) -> dict[str, Any]:
        return {"response": ""}

    def tail(self, ended: AnswerEnd) -> dict[str, Any]:
        return {"context": list(ended.ids)} if self.tell_context else {}


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
        delta = (
            {"content": piece.text} if self.spoken else {"role": "assistant", "content": piece.text}
        )
        self.spoken = True
        return self._chunk(
            [{"index": 0, "delta": delta, "finish_reason": None, **_v1_logprobs([piece])}]
        ).encode()

    def end(self, ended: AnswerEnd, load_seconds: float, seconds: float) -> bytes:
        last = self._chunk([{"index": 0, "delta": {}, "finish_reason": ended.reason}])
        usage = self._chunk([], {"usage": _usage(ended)}) if self.include_usage else ""
        return (last + usage + "data: [DONE]\n\n").encode()

    def whole(
        self, pieces: Sequence[Piece], ended: AnswerEnd, load_seconds: float, seconds: float
    ) -> web.Response:
        message = {"role": "assistant", "content": "".join(p.text for p in pieces)}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": ended.reason,
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
