"""Answers and results in the forms of the endpoints that clients use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scripts.benchmarks.labelling.change import Change
from tests.support.played_home import Exchange

Said = Literal["applied", "failed", "declined"]
Json = dict[str, Any]
Result = Callable[[Change, Exchange, Said], Exchange]
"""The next request of a client, which says what became of an edit."""


def chat(answer: str, asked: str = "Please change it.", *before: Json) -> Exchange:
    """Ollama's chat."""
    messages = [*before, {"role": "user", "content": asked}]
    told = {"model": "m", "message": {"role": "assistant", "content": answer}, "done": True}
    return Exchange(
        "/api/chat",
        {"model": "m", "messages": messages, "stream": False},
        json.dumps(told | {"done_reason": "stop"}),
    )


def openai_call(name: str, arguments: Json) -> Exchange:
    """A tool call in chat completions."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Exchange(
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "Please change it."}]},
        json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}),
    )


def openai_result(words: Mapping[Said, str]) -> Result:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        message = json.loads(exchange.response)["choices"][0]["message"]
        told = {"role": "tool", "tool_call_id": "call_1", "content": _word(words[said], change)}
        messages = [*exchange.request["messages"], message, told]
        done = {"role": "assistant", "content": "Done."}
        return Exchange(
            "/v1/chat/completions",
            {"model": "m", "messages": messages},
            json.dumps({"choices": [{"index": 0, "message": done, "finish_reason": "stop"}]}),
        )

    return result


def anthropic_call(name: str, arguments: Json) -> Exchange:
    use = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    told = {"type": "message", "role": "assistant", "content": [use], "stop_reason": "tool_use"}
    return Exchange(
        "/v1/messages",
        {"model": "m", "max_tokens": 4096, "messages": [_user("Please change it.")]},
        json.dumps(told),
    )


def anthropic_result(words: Mapping[Said, str]) -> Result:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        use = json.loads(exchange.response)["content"]
        told: Json = {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": _word(words[said], change),
        }
        if said != "applied":
            told["is_error"] = True
        messages = [
            *exchange.request["messages"],
            {"role": "assistant", "content": use},
            {"role": "user", "content": [told]},
        ]
        done = [{"type": "text", "text": "Done."}]
        return Exchange(
            "/v1/messages",
            {"model": "m", "max_tokens": 4096, "messages": messages},
            json.dumps({"type": "message", "role": "assistant", "content": done}),
        )

    return result


def responses_call(name: str, arguments: Json) -> Exchange:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }
    asked = {"type": "message", "role": "user", "content": "Please change it."}
    return Exchange(
        "/v1/responses",
        {"model": "m", "input": [asked]},
        json.dumps({"id": "resp_1", "object": "response", "status": "completed", "output": [call]}),
    )


def responses_result(words: Mapping[Said, str]) -> Result:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        (call,) = json.loads(exchange.response)["output"]
        told = {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": _word(words[said], change),
        }
        done = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Done."}],
        }
        return Exchange(
            "/v1/responses",
            {"model": "m", "input": [*exchange.request["input"], call, told]},
            json.dumps({"object": "response", "status": "completed", "output": [done]}),
        )

    return result


def text_result(words: Mapping[Said, str]) -> Result:
    """What a client that edits from the answer's text says next, as the user's message."""

    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        answer = json.loads(exchange.response)["message"]
        return chat("Done.", _word(words[said], change), *exchange.request["messages"], answer)

    return result


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _word(words: str, change: Change) -> str:
    shown = "\n".join(f"{n:6}\t{line}" for n, line in enumerate(change.after.split("\n")[:8], 1))
    whole = f"{change.root}/{change.path}"
    return words.format(path=change.path, whole=whole, shown=shown)


def completion(prefix: str, middle: str, suffix: str, *, raw: bool) -> Exchange:
    """A completion: by fields of its own, or by the marks of a model in a raw prompt."""
    if raw:
        prompt = f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"
        request = {"model": "m", "prompt": prompt, "raw": True, "stream": False}
        told = {"model": "m", "response": middle, "done": True, "done_reason": "stop"}
        return Exchange("/api/generate", request, json.dumps(told))
    choice = {"index": 0, "text": middle, "finish_reason": "stop"}
    return Exchange(
        "/v1/completions",
        {"model": "m", "prompt": prefix, "suffix": suffix, "max_tokens": 200},
        json.dumps({"object": "text_completion", "choices": [choice]}),
    )
