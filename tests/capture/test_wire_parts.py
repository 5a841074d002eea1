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


def begun(item: dict[str, Any], index: int = 1) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def piece(delta: str, index: int = 1, kind: str = "function_call_arguments") -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": delta}


WRITE = {"type": "function_call", "id": "fc", "call_id": "c", "name": "write", "arguments": ""}


@pytest.mark.parametrize(
    ("more", "arguments"),
    [
        ((), {}),
        ((piece('{"path":"a.py","con'),), '{"path":"a.py","con'),
        ((piece('{"path":'), piece('"a.py"}')), {"path": "a.py"}),
        (
            (
                piece('{"path":'),
                {
                    "type": "response.function_call_arguments.done",
                    "item_id": "fc",
                    "arguments": '{"path":"a.py"}',
                },
            ),
            {"path": "a.py"},
        ),
        (
            (
                piece('{"path":'),
                {
                    "type": "response.output_item.done",
                    "item": {**WRITE, "arguments": '{"path":"a.py"}'},
                },
            ),
            {"path": "a.py"},
        ),
    ],
)
@pytest.mark.parametrize("end", ["cut", "completed"])
def test_a_call_of_a_response_that_was_cut_off_is_kept(
    more: tuple[dict[str, Any], ...], arguments: Any, end: str
) -> None:
    text = {"type": "response.output_text.delta", "output_index": 0, "delta": "I write it."}
    last = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    turn = of_responses(text, begun(WRITE), *more, *([last] if end == "completed" else []))
    assert (turn.answer, turn.complete) == ("I write it.", end == "completed")
    made = [{"id": "c", "function": {"name": "write", "arguments": arguments}}]
    assert turn.answer_extra == {"tool_calls": made}


def test_calls_of_a_response_that_are_told_at_once_are_two() -> None:
    other = {**WRITE, "id": "fd", "call_id": "d", "name": "read"}
    turn = of_responses(
        begun(WRITE),
        begun(other, 2),
        piece('{"b":', 2),
        piece('{"a":1'),
        piece("2}", 2),
        {"type": "response.output_item.done", "output_index": 2, "item": other},
    )
    assert turn.answer_extra["tool_calls"] == [
        {"id": "c", "function": {"name": "write", "arguments": '{"a":1'}},
        {"id": "d", "function": {"name": "read", "arguments": {}}},
    ]


def test_calls_in_one_place_are_told_apart_by_their_names() -> None:
    items = [{**WRITE, "id": id, "call_id": id, "arguments": f'{{"n":"{id}"}}'} for id in "xy"]
    told = [
        [begun(item, 0), {**begun(item, 0), "type": "response.output_item.done"}] for item in items
    ]
    for values in ([told[0], told[1]], [[told[0][0], told[1][0]], [told[1][1], told[0][1]]]):
        calls = of_responses(*values[0], *values[1]).answer_extra["tool_calls"]
        assert [made["function"]["arguments"] for made in calls] == [{"n": "x"}, {"n": "y"}]


PATCH = "*** Begin Patch\n*** End Patch"
ODD_CALLS: list[dict[str, Any]] = [
    {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": PATCH},
    {"type": "custom_tool_call", "call_id": "d", "name": "js", "input": "{}; run()"},
    {
        "type": "local_shell_call",
        "call_id": "e",
        "action": {"type": "exec", "command": ["ls"]},
    },
]
ODD_MADE = [
    {"id": "c", "function": {"name": "apply_patch", "arguments": PATCH}},
    {"id": "d", "function": {"name": "js", "arguments": "{}; run()"}},
    {
        "id": "e",
        "function": {"name": "local_shell", "arguments": {"type": "exec", "command": ["ls"]}},
    },
]


def test_calls_of_free_form_and_of_a_local_shell_are_kept() -> None:
    whole = json.dumps({"status": "completed", "output": ODD_CALLS})
    done = [{"type": "response.output_item.done", "item": item} for item in ODD_CALLS]
    cut = [
        begun({**ODD_CALLS[0], "input": ""}),
        piece(PATCH[:9], kind="custom_tool_call_input"),
        piece(PATCH[9:], kind="custom_tool_call_input"),
        *done[1:],
    ]
    asked = decode(turn_event(RESPONSES, {"input": "hi"}, whole, JSON))
    for turn in (asked, of_responses(*done), of_responses(*cut)):
        assert turn.answer_extra["tool_calls"] == ODD_MADE


def test_calls_of_free_form_and_their_outputs_are_part_of_the_conversation() -> None:
    outputs = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "done"}
        for item in ODD_CALLS
    ]
    asked = {"input": [{"role": "user", "content": "hi"}, *ODD_CALLS, *outputs]}
    messages = decode(turn_event(RESPONSES, asked, '{"status":"completed"}')).messages
    assert messages[1].extra["tool_calls"] == ODD_MADE
    names = [(m.role, m.content, m.extra["tool_name"]) for m in messages[2:]]
    assert names == [("tool", "done", name) for name in ("apply_patch", "js", "local_shell")]


def test_calls_beside_no_parts_are_kept() -> None:
    made = [{"id": "c", "function": {"name": "run", "arguments": "{}"}}]
    asked = [
        {"role": "user", "content": []},
        {"role": "assistant", "content": [], "tool_calls": made},
    ]
    messages = decode(turn_event(CHAT, {"messages": asked}, "{}")).messages
    assert [m.role for m in messages] == ["assistant"]
    assert messages[0].extra["tool_calls"][0]["id"] == "c"
