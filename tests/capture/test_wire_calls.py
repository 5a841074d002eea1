"""Every item and block that calls a tool is a call in the recorded answer, streamed or whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Turn
from tests.support.turn_events import JSON, SSE, turn_event

RESPONSES = "/v1/responses"
PATCH = {"type": "update_file", "path": "a.py", "diff": "@@\n-x = 1\n+x = 2\n"}
ITEMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "function_call": (
        {"id": "fc", "call_id": "c", "name": "read", "arguments": '{"path":"a"}'},
        {"id": "c", "function": {"name": "read", "arguments": {"path": "a"}}},
    ),
    "custom_tool_call": (
        {"id": "ct", "call_id": "c", "name": "js", "input": "{}; run()"},
        {"id": "c", "function": {"name": "js", "arguments": "{}; run()"}},
    ),
    "local_shell_call": (
        {"id": "l", "call_id": "c", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {
            "id": "c",
            "function": {
                "name": "local_shell",
                "arguments": {"type": "exec", "command": ["ls"], "env": {}},
            },
        },
    ),
    "shell_call": (
        {
            "id": "sh",
            "call_id": "c",
            "action": {"commands": ["ls", "pwd"], "timeout_ms": 9},
            "environment": {"type": "local"},
        },
        {
            "id": "c",
            "function": {
                "name": "shell",
                "arguments": {"commands": ["ls", "pwd"], "timeout_ms": 9},
            },
        },
    ),
    "apply_patch_call": (
        {"id": "ap", "call_id": "c", "operation": PATCH},
        {"id": "c", "function": {"name": "apply_patch", "arguments": PATCH}},
    ),
    "computer_call": (
        {
            "id": "cu",
            "call_id": "c",
            "action": {"type": "click", "button": "left", "x": 1, "y": 2},
            "pending_safety_checks": [],
        },
        {
            "id": "c",
            "function": {
                "name": "computer",
                "arguments": {"type": "click", "button": "left", "x": 1, "y": 2},
            },
        },
    ),
    "computer_call, several actions": (
        {"id": "cu", "call_id": "c", "actions": [{"type": "wait"}, {"type": "screenshot"}]},
        {
            "id": "c",
            "function": {
                "name": "computer",
                "arguments": {"actions": [{"type": "wait"}, {"type": "screenshot"}]},
            },
        },
    ),
    "mcp_call": (
        {
            "id": "m",
            "name": "roll",
            "server_label": "dice",
            "arguments": '{"sides":6}',
            "output": "4",
            "error": None,
        },
        {"id": "m", "function": {"name": "roll", "arguments": {"sides": 6}}},
    ),
    "mcp_approval_request": (
        {"id": "m", "name": "roll", "server_label": "dice", "arguments": '{"sides":6}'},
        {"id": "m", "function": {"name": "roll", "arguments": {"sides": 6}}},
    ),
    "code_interpreter_call": (
        {
            "id": "ci",
            "code": "print(1)",
            "container_id": "k",
            "outputs": [{"type": "logs", "logs": "1\n"}],
        },
        {"id": "ci", "function": {"name": "code_interpreter", "arguments": {"code": "print(1)"}}},
    ),
    "web_search_call": (
        {"id": "ws", "action": {"type": "search", "query": "q", "queries": ["q"]}},
        {
            "id": "ws",
            "function": {
                "name": "web_search",
                "arguments": {"type": "search", "query": "q", "queries": ["q"]},
            },
        },
    ),
    "file_search_call": (
        {"id": "fs", "queries": ["q"], "results": [{"file_id": "f", "text": "t"}]},
        {"id": "fs", "function": {"name": "file_search", "arguments": {"queries": ["q"]}}},
    ),
    "tool_search_call": (
        {"id": "ts", "call_id": "c", "execution": "client", "arguments": {"goal": "g"}},
        {"id": "c", "function": {"name": "tool_search", "arguments": {"goal": "g"}}},
    ),
    "image_generation_call": (
        {"id": "ig", "revised_prompt": "a cat", "result": "aGVsbG8="},
        {
            "id": "ig",
            "function": {"name": "image_generation", "arguments": {"revised_prompt": "a cat"}},
        },
    ),
    "one_of_tomorrow_call": (
        {"id": "t", "call_id": "c", "status": "completed", "what": [1], "output": "much"},
        {"id": "c", "function": {"name": "one_of_tomorrow", "arguments": {"what": [1]}}},
    ),
}


def item_of(case: str) -> dict[str, Any]:
    return {"type": case.partition(",")[0], "status": "completed", **ITEMS[case][0]}


def streamed(*values: dict[str, Any]) -> Turn:
    return decode(turn_event(RESPONSES, {"input": "hi"}, events(*values), SSE))


def events(*values: dict[str, Any]) -> str:
    return "".join(f"event: {v['type']}\ndata: {json.dumps(v)}\n\n" for v in values)


def began(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 1, "item": item}


@pytest.mark.parametrize("case", ITEMS)
def test_an_item_that_calls_a_tool_is_a_call(case: str) -> None:
    item, made = item_of(case), [ITEMS[case][1]]
    whole = json.dumps({"status": "completed", "output": [item]})
    done = {"type": "response.output_item.done", "output_index": 1, "item": item}
    last = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    for turn in (
        decode(turn_event(RESPONSES, {"input": "hi"}, whole, JSON)),
        streamed(began({**item, "status": "in_progress"}), done, last),
        streamed(began({**item, "status": "in_progress"}), done),
        streamed(done),
    ):
        assert turn.answer_extra["tool_calls"] == made


PIECES: dict[str, tuple[str, dict[str, Any], str, Any]] = {
    # the item as it begins, the event, the last word of its end, and what the tool is given
    "function_call": ("arguments", {"arguments": ""}, "arguments", '{"a":'),
    "custom_tool_call": ("input", {"input": ""}, "input", '{"a":'),
    "mcp_call": ("arguments", {"arguments": ""}, "arguments", '{"a":'),
    "code_interpreter_call": ("code", {"code": ""}, "code", {"code": '{"a":'}),
    "apply_patch_call": (
        "operation_diff",
        {"operation": {**PATCH, "diff": ""}},
        "diff",
        {**PATCH, "diff": '{"a":'},
    ),
    "shell_call": (
        "command",
        {"action": {"commands": []}},
        "command",
        {"commands": ['{"a":']},
    ),
}


@pytest.mark.parametrize("kind", PIECES)
def test_a_call_that_was_cut_off_is_what_came_of_it(kind: str) -> None:
    field, empty, last, given = PIECES[kind]
    first = began({**item_of(kind), **empty})
    event = {"type": f"response.{kind}_{field}.delta", "output_index": 1, "command_index": 0}
    end = {**event, "type": f"response.{kind}_{field}.done", last: '{"a":'}
    pieces = [{**event, "delta": '{"a'}, {**event, "delta": '":'}]
    for turn in (streamed(first, *pieces), streamed(first, pieces[0], end)):
        assert turn.answer_extra["tool_calls"][0]["function"]["arguments"] == given


def test_the_commands_of_a_shell_come_one_by_one() -> None:
    event = {"type": "response.shell_call_command.delta", "output_index": 1}
    out = {"type": "response.shell_call_output_content.delta", "delta": {"stdout": "x"}}
    turn = streamed(
        began({**item_of("shell_call"), "action": {"commands": [], "timeout_ms": 9}}),
        {**event, "command_index": 0, "delta": "l"},
        {**event, "command_index": 0, "delta": "s"},
        {**event, "command_index": 1, "delta": "pwd"},
        {**out, "output_index": 1, "command_index": 0},
    )
    assert turn.answer_extra["tool_calls"] == [ITEMS["shell_call"][1]]


OUTPUTS: dict[str, tuple[str, Any, str, int]] = {
    "function_call": ("c", "done", "done", 0),
    "custom_tool_call": ("c", [{"type": "input_text", "text": "done"}], "done", 0),
    "shell_call": (
        "c",
        [
            {"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
            {"stdout": "", "stderr": "bad\n", "outcome": {"type": "exit", "exit_code": 1}},
        ],
        "a\nbad\n",
        0,
    ),
    "apply_patch_call": ("c", "Updated a.py", "Updated a.py", 0),
    "computer_call": ("c", {"type": "computer_screenshot", "image_url": "data:x"}, "", 1),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_call_and_its_output_are_part_of_the_conversation(kind: str) -> None:
    id, output, text, images = OUTPUTS[kind]
    answered = {"type": f"{kind}_output", "call_id": id, "output": output}
    asked = {"input": [{"role": "user", "content": "hi"}, item_of(kind), answered]}
    messages = decode(turn_event(RESPONSES, asked, '{"status":"completed"}')).messages
    made = ITEMS[kind][1]
    assert messages[1].extra["tool_calls"] == [made]
    assert (messages[2].role, messages[2].content) == ("tool", text)
    assert messages[2].extra["tool_name"] == made["function"]["name"]
    assert messages[2].extra.get("images", 0) == images


@pytest.mark.parametrize(
    ("kind", "text"), [("mcp_call", "4"), ("code_interpreter_call", "1\n"), ("web_search_call", "")]
)
def test_what_a_server_ran_is_followed_by_what_it_gave(kind: str, text: str) -> None:
    asked = {"input": [{"role": "user", "content": "hi"}, item_of(kind)]}
    messages = decode(turn_event(RESPONSES, asked, '{"status":"completed"}')).messages
    assert messages[1].extra["tool_calls"] == [ITEMS[kind][1]]
    told = [(m.role, m.content, m.extra["tool_call_id"]) for m in messages[2:]]
    assert told == ([("tool", text, item_of(kind)["id"])] if text else [])


# --- the other two APIs ---------------------------------------------------------------------------

CUSTOM = {"id": "c", "type": "custom", "custom": {"name": "js", "input": "{}; run()"}}
OLD = {"name": "read", "arguments": '{"path":"a"}'}


def test_a_custom_tool_of_a_chat_is_called() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": [CUSTOM]}}
    whole = decode(turn_event("/v1/chat/completions", {}, json.dumps({"choices": [choice]}), JSON))
    parts = [
        {"index": 0, "id": "c", "type": "custom", "custom": {"name": "js", "input": "{}; "}},
        {"index": 0, "custom": {"input": "run()"}},
    ]
    deltas = [{"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]} for part in parts]
    data = "".join(f"data: {json.dumps(delta)}\n\n" for delta in deltas)
    pieces = decode(turn_event("/v1/chat/completions", {}, data, SSE))
    made = [{"id": "c", "function": {"name": "js", "arguments": "{}; run()"}}]
    asked = {"messages": [{"role": "assistant", "tool_calls": [CUSTOM]}]}
    question = decode(turn_event("/v1/chat/completions", asked, "{}", JSON)).messages[0]
    assert whole.answer_extra["tool_calls"] == made == pieces.answer_extra["tool_calls"]
    assert question.extra["tool_calls"] == made


def test_the_one_call_of_older_clients_is_a_call() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "function_call": OLD}}
    whole = decode(turn_event("/v1/chat/completions", {}, json.dumps({"choices": [choice]}), JSON))
    parts = [{"name": "read", "arguments": ""}, {"arguments": '{"path":'}, {"arguments": '"a"}'}]
    deltas = [{"choices": [{"index": 0, "delta": {"function_call": part}}]} for part in parts]
    data = "".join(f"data: {json.dumps(delta)}\n\n" for delta in deltas)
    pieces = decode(turn_event("/v1/chat/completions", {}, data, SSE))
    made = [{"function": {"name": "read", "arguments": {"path": "a"}}}]
    assert whole.answer_extra["tool_calls"] == made == pieces.answer_extra["tool_calls"]
    asked = {
        "messages": [
            {"role": "assistant", "content": None, "function_call": OLD},
            {"role": "function", "name": "read", "content": "x"},
        ]
    }
    messages = decode(turn_event("/v1/chat/completions", asked, "{}", JSON)).messages
    assert messages[0].extra["tool_calls"] == made
    assert messages[1].extra["tool_name"] == "read"


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
def test_every_use_of_a_tool_is_a_call(kind: str) -> None:
    block = {"type": kind, "id": "t", "name": "look", "input": {"q": 1}}
    whole = {"type": "message", "content": [block], "stop_reason": "tool_use"}
    start = {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
    delta = {"type": "input_json_delta", "partial_json": '{"q":1}'}
    pieces = events(start, {"type": "content_block_delta", "index": 0, "delta": delta})
    for response, form in ((json.dumps(whole), JSON), (pieces, SSE)):
        turn = decode(turn_event("/v1/messages", {}, response, form))
        assert turn.answer_extra["tool_calls"] == [
            {"id": "t", "function": {"name": "look", "arguments": {"q": 1}}}
        ]
    asked = {
        "messages": [
            {"role": "assistant", "content": [block]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}],
            },
        ]
    }
    messages = decode(turn_event("/v1/messages", asked, "{}", JSON)).messages
    assert messages[0].extra["tool_calls"][0]["function"]["name"] == "look"
    assert messages[1].extra["tool_name"] == "look"
