"""The question of a turn in a form that can be put to any served model."""

from __future__ import annotations

from typing import Any

from qi_learn.dataset.line_ends import as_served
from qi_learn.dataset.target import Skipped
from qi_learn.records import Message, Turn


def ask_of(turn: Turn) -> dict[str, Any] | Skipped:
    """The same question to any served model, without model and sampling options.

        {"endpoint": "/api/chat" | "/api/generate", "body": {...}}

    Ollama's own `/v1` routes are the same two underneath; `/v1/completions` goes through the
    template, as it does there.
    """
    shape = {
        k: turn.request[k]
        for k in ("system", "template", "raw", "suffix", "format", "tools", "think")
        if turn.request.get(k) not in (None, "", [], {})
    }
    if turn.endpoint in ("/api/chat", "/v1/chat/completions"):
        fields = {k: v for k, v in shape.items() if k in ("format", "tools", "think")}
        messages = [_message(m) for m in turn.messages]
        return {"endpoint": "/api/chat", "body": {"messages": messages, **fields}}
    raw_prompt = [m.role for m in turn.messages] == ["prompt"]
    if raw_prompt and turn.endpoint in ("/api/generate", "/v1/completions"):
        left_out = ("tools",) if turn.endpoint == "/api/generate" else ("tools", "raw")
        fields = {k: v for k, v in shape.items() if k not in left_out}
        if isinstance(suffix := fields.get("suffix"), str):
            fields["suffix"] = as_served(suffix, turn.request)
        prompt = as_served(turn.messages[0].content, turn.request)
        return {"endpoint": "/api/generate", "body": {"prompt": prompt, **fields}}
    return Skipped("a kind of request that cannot be asked again")


def _message(message: Message) -> dict[str, Any]:
    kept = ("tool_calls", "tool_name", "thinking")
    extra = {k: v for k, v in message.extra.items() if k in kept and v}
    return {"role": message.role, "content": message.content, **extra}
