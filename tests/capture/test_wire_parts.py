"""Answers in parts, errors in other forms, ends without output: the words, never Python's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Turn
from tests.support.turn_events import JSON, NDJSON, SSE, turn_event

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "hel"},
    {"type": "text", "text": "lo"},
]


def events(*values: dict[str, Any]) -> str:
    return "".join(f"event: {v.get('type')}\ndata: {json.dumps(v)}\n\n" for v in values)


def of_responses(*values: dict[str, Any]) -> Turn:
    return decode(turn_event(RESPONSES, {"input": "hi"}, events(*values), SSE))


def test_an_answer_in_parts_is_the_texts_joined() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": PARTS}}
    whole = decode(turn_event(CHAT, {}, json.dumps({"choices": [choice]}), JSON))
    pieces = [{"choices": [{"index": 0, "delta": {"content": [part]}}]} for part in PARTS]
    streamed = decode(turn_event(CHAT, {}, events(*pieces), SSE))
    for turn in (whole, streamed):
        assert (turn.answer, turn.answer_extra["thinking"]) == ("hello", "hm")


@pytest.mark.parametrize("content", [PARTS[1:], {"type": "text", "text": "hello"}])
def test_a_native_answer_is_a_text_too(content: Any) -> None:
    answer = json.dumps({"message": {"role": "assistant", "content": content}, "done": True})
    assert decode(turn_event("/api/chat", {}, answer, NDJSON)).answer == "hello"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"type": "error", "code": "x", "message": "boom"}, "boom"),
        ({"type": "error", "error": {"message": "boom"}}, "boom"),
        ({"type": "error", "error": {"message": {"why": "é"}}}, '{"why": "é"}'),
    ],
)
def test_the_error_of_a_broken_response_is_kept(error: dict[str, Any], words: str) -> None:
    turn = of_responses({"type": "response.output_text.delta", "delta": "hel"}, error)
    assert (turn.answer, turn.answer_extra["error"]) == ("hel", words)


def test_a_response_that_ends_without_output_is_what_came_before() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "run", "arguments": "{}"}
    turn = of_responses(
        {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "hel"},
        {"type": "response.output_text.delta", "delta": "lo"},
        {"type": "response.output_item.done", "item": call},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    )
    assert (turn.answer, turn.complete, turn.done_reason) == ("hello", True, "completed")
    assert turn.answer_extra["thinking"] == "hm"
    assert turn.answer_extra["tool_calls"][0]["function"]["name"] == "run"


def test_calls_beside_no_parts_are_kept() -> None:
    made = [{"id": "c", "function": {"name": "run", "arguments": "{}"}}]
    asked = [
        {"role": "user", "content": []},
        {"role": "assistant", "content": [], "tool_calls": made},
    ]
    messages = decode(turn_event(CHAT, {"messages": asked}, "{}")).messages
    assert [m.role for m in messages] == ["assistant"]
    assert messages[0].extra["tool_calls"][0]["id"] == "c"
