"""Every recorded answer of two real Ollamas decodes; streams and whole answers say the same; what
was cut off gives what came before the cut.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qi_learn.capture.wire import decode
from qi_learn.records import Event, Message, Turn

RECORDINGS = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent.parent / "support" / "recordings").glob("0.*.json"))
]
ENDPOINTS = (
    "/api/chat",
    "/api/generate",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
NDJSON, SSE, JSON = "application/x-ndjson", "text/event-stream", "application/json; charset=utf-8"
STREAMS = [
    "chat stream",
    "generate stream",
    "v1 chat stream",
    "v1 completions stream",
    "v1 responses stream",
    "v1 messages stream",
]


def turn_event(
    endpoint: str, request: Any, response: str, content_type: str = JSON, **more: Any
) -> Event:
    text = request if isinstance(request, str) else json.dumps(request)
    body = {
        "endpoint": endpoint,
        "request": text,
        "response": response,
        "content_type": content_type,
        "model_asked": "m",
        "status": 200,
        **more,
    }
    return Event("01T", "turn", 50.0, "gateway", body, "model", "/p")


def recorded(exchange: dict[str, Any]) -> Event:
    response = exchange["body"] if "body" in exchange else "".join(exchange["chunks"])
    headers = {name.lower(): value for name, value in exchange["headers"]}
    asked, status = exchange["request"], int(exchange["status"].split()[1])
    return turn_event(
        asked["path"], asked["body"], response, headers.get("content-type", ""), status=status
    )


def named(recording: dict[str, Any], name: str) -> dict[str, Any]:
    return next(e for e in recording["exchanges"] if e["name"] == name)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
def test_every_recorded_exchange_decodes(recording: dict[str, Any]) -> None:
    seen = 0
    for exchange in recording["exchanges"]:
        if exchange["request"]["path"] not in ENDPOINTS or not isinstance(
            exchange["request"]["body"], dict
        ):
            continue
        turn = decode(recorded(exchange))
        seen += 1
        assert turn.complete == ("rendered" not in exchange["name"]), exchange[
            "name"
        ]  # a rendering has no answer
        if turn.status >= 400:
            assert turn.answer == ""
            assert json.dumps(turn.answer_extra["error"], ensure_ascii=False) in json.dumps(
                json.loads(exchange["body"]), ensure_ascii=False
            )
        elif "rendered" not in exchange["name"] and "load" not in exchange["name"]:
            assert turn.answer, exchange["name"]
            assert turn.done_reason in (
                "stop",
                "length",
                "max_tokens",
                "end_turn",
                "max_output_tokens",
                "completed",
            )
    assert seen > 30


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_what_the_whole_answer_says(recording: dict[str, Any], name: str) -> None:
    streamed, whole = (
        decode(recorded(named(recording, n))) for n in (name, name.replace("stream", "whole"))
    )
    assert streamed.answer == whole.answer != ""
    assert streamed.done_reason == whole.done_reason
    assert (whole.prompt_tokens, whole.answer_tokens) == (
        12 if "completions" not in name else whole.prompt_tokens,
        8,
    )
    if not name.startswith(("v1 chat", "v1 completions")):  # those tell counts only where asked to
        assert (streamed.prompt_tokens, streamed.answer_tokens) == (
            whole.prompt_tokens,
            whole.answer_tokens,
        )
    else:
        assert streamed.prompt_tokens is None


@given(data=st.data())
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_anywhere_keeps_what_came_before(name: str, data: st.DataObject) -> None:
    event = recorded(named(RECORDINGS[-1], name))
    whole = decode(event)
    response = event.body["response"]
    cut = data.draw(st.integers(0, len(response.rstrip()) - 1))
    partial = decode(
        Event(
            event.id,
            "turn",
            event.ts,
            event.source,
            {**event.body, "response": response[:cut], "cancelled": True},
        )
    )
    assert whole.answer.startswith(partial.answer)
    assert partial.cancelled
    assert not partial.complete


def test_a_chat_keeps_what_shapes_the_text_and_counts_images() -> None:
    call = {"function": {"name": "read", "arguments": {"path": "a.py"}}}
    request = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be terse."},
            {"role": "user", "content": "Look.", "images": ["aGVsbG8=", "aGVsbG8="]},
            {"role": "assistant", "content": "", "tool_calls": [call], "thinking": "hm"},
            {"role": "tool", "content": "x = 1", "tool_name": "read"},
        ],
        "options": {"num_ctx": 4096},
        "tools": [{"type": "function"}],
        "think": True,
        "format": "",
        "keep_alive": "5m",
    }
    lines = [
        {
            "model": "m",
            "message": {"role": "assistant", "content": "", "thinking": "so "},
            "done": False,
        },
        {
            "model": "m",
            "message": {"role": "assistant", "content": "", "thinking": "it is"},
            "done": False,
        },
        {
            "model": "m",
            "message": {
                "role": "assistant",
                "content": "Writing. ",
                "tool_calls": [{"id": "c1", **call}],
            },
            "done": False,
        },
        {
            "model": "m",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 7,
            "eval_count": 3,
        },
    ]
    turn = decode(
        turn_event(
            "/api/chat",
            request,
            "".join(json.dumps(line) + "\n" for line in lines),
            NDJSON,
            session="s",
            started=10.5,
            ended=12.0,
        )
    )
    assert turn.messages == (
        Message("system", "Be terse."),
        Message("user", "Look.", {"images": 2}),
        Message("assistant", "", {"tool_calls": [call], "thinking": "hm"}),
        Message("tool", "x = 1", {"tool_name": "read"}),
    )
    assert "aGVsbG8=" not in str(turn)
    assert (turn.answer, turn.answer_extra) == (
        "Writing. ",
        {"thinking": "so it is", "tool_calls": [{"id": "c1", **call}]},
    )
    assert (turn.options, turn.request) == (
        {"num_ctx": 4096},
        {"tools": [{"type": "function"}], "think": True},
    )
    assert (turn.prompt_tokens, turn.answer_tokens, turn.done_reason, turn.complete) == (
        7,
        3,
        "stop",
        True,
    )
    assert (turn.session, turn.project, turn.started, turn.ended, turn.model_answered) == (
        "s",
        "/p",
        10.5,
        12.0,
        "m",
    )


def test_a_stream_that_ends_in_an_error_is_not_complete() -> None:
    turn = decode(
        turn_event(
            "/api/chat",
            {"messages": []},
            '{"message":{"content":"a"},"done":false}\n{"error":"out of memory"}\n',
            NDJSON,
        )
    )
    assert (turn.answer, turn.complete, turn.answer_extra) == (
        "a",
        False,
        {"error": "out of memory"},
    )


def test_generate_keeps_prompt_and_suffix() -> None:
    request = {
        "model": "m",
        "prompt": "def f(",
        "suffix": "return 1",
        "raw": True,
        "system": "",
        "images": ["aGVsbG8="],
        "options": {"stop": ["\n"]},
    }
    turn = decode(
        turn_event("/api/generate", request, '{"response":"x):","done":true,"done_reason":"stop"}')
    )
    assert turn.messages == (Message("prompt", "def f(", {"images": 1}),)
    assert turn.request == {"suffix": "return 1", "raw": True}
    assert (turn.answer, turn.prompt_tokens, turn.complete) == ("x):", None, True)


def test_openai_chat_is_put_in_ollamas_terms() -> None:
    request = {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What"},
                    {"type": "text", "text": "now?"},
                    {"type": "image_url", "image_url": {"url": "x"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "read", "arguments": '{"path":"a"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ],
        "max_tokens": 5,
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "reasoning_effort": "none",
        "prompt_cache_key": "session-9",
    }
    deltas: list[dict[str, Any]] = [
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": "O", "reasoning": "r"},
                    "finish_reason": None,
                }
            ]
        },
        {
            "choices": [
                {"index": 1, "delta": {"content": "other"}},
                {"index": 0, "delta": {"content": "K"}},
            ]
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "tool_calls": [
                            {
                                "index": 0,
                                "id": "a",
                                "function": {"name": "write", "arguments": '{"te'},
                            }
                        ]
                    },
                }
            ]
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"tool_calls": [{"index": 0, "function": {"arguments": 'xt":"x"}'}}]},
                }
            ]
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "tool_calls": [
                            {"index": 1, "id": "b", "function": {"name": "stop", "arguments": "{}"}}
                        ]
                    },
                }
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}},
    ]
    stream = "".join(f"data: {json.dumps(delta)}\n\n" for delta in deltas) + "data: [DONE]\n\n"
    turn = decode(turn_event("/v1/chat/completions", request, stream, SSE))
    asked = {"id": "c1", "function": {"name": "read", "arguments": {"path": "a"}}}
    assert turn.messages == (
        Message("user", "What\nnow?", {"images": 1}),
        Message("assistant", "", {"tool_calls": [asked]}),
        Message("tool", "x", {"tool_name": "read", "tool_call_id": "c1"}),
    )
    assert turn.options == {"num_predict": 5, "temperature": 0}
    assert turn.request == {"format": {"type": "object"}, "think": False}
    assert turn.session == "session-9"
    assert turn.answer == "OK"
    assert turn.answer_extra == {
        "thinking": "r",
        "tool_calls": [
            {"id": "a", "function": {"name": "write", "arguments": {"text": "x"}}},
            {"id": "b", "function": {"name": "stop", "arguments": {}}},
        ],
    }
    assert (turn.done_reason, turn.prompt_tokens, turn.answer_tokens, turn.complete) == (
        "tool_calls",
        4,
        2,
        True,
    )


def test_arguments_that_were_cut_off_stay_a_text() -> None:
    delta = {
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {"index": 0, "id": "a", "function": {"name": "write", "arguments": '{"te'}}
                    ]
                },
            }
        ]
    }
    turn = decode(
        turn_event(
            "/v1/chat/completions",
            {"messages": []},
            f"data: {json.dumps(delta)}\n\n",
            SSE,
            cancelled=True,
        )
    )
    assert turn.answer_extra["tool_calls"] == [
        {"id": "a", "function": {"name": "write", "arguments": '{"te'}}
    ]


def test_responses_items_become_messages() -> None:
    request = {
        "model": "m",
        "instructions": "Be terse.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Fix it."},
                    {"type": "input_image", "image_url": "x"},
                ],
            },
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}]},
            {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"p":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "text"},
        ],
        "reasoning": {"effort": "low"},
    }
    events = [
        {"type": "response.reasoning_summary_text.delta", "delta": "mm"},
        {"type": "response.output_text.delta", "delta": "Do"},
        {"type": "response.output_text.delta", "delta": "ne"},
        {
            "type": "response.output_item.done",
            "item": {
                "type": "function_call",
                "call_id": "d",
                "name": "write",
                "arguments": '{"t":"x"}',
            },
        },
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    turn = decode(turn_event("/v1/responses", request, stream, SSE))
    assert turn.messages == (
        Message("system", "Be terse."),
        Message("user", "Fix it.", {"images": 1}),
        Message("assistant", "", {"thinking": "think"}),
        Message(
            "assistant",
            "",
            {"tool_calls": [{"id": "c", "function": {"name": "read", "arguments": {"p": 1}}}]},
        ),
        Message("tool", "text", {"tool_name": "read", "tool_call_id": "c"}),
    )
    assert turn.request == {"think": "low"}
    assert (turn.answer, turn.complete) == ("Done", False)
    assert turn.answer_extra == {
        "thinking": "mm",
        "tool_calls": [{"id": "d", "function": {"name": "write", "arguments": {"t": "x"}}}],
    }


def test_anthropic_blocks_become_messages() -> None:
    used = {"type": "tool_use", "id": "u", "name": "read", "input": {"p": 1}}
    result = {"type": "tool_result", "tool_use_id": "u", "content": [{"type": "text", "text": "x"}]}
    request = {
        "model": "m",
        "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "terse."}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t"},
                    {"type": "text", "text": "Ok"},
                    used,
                ],
            },
            {"role": "user", "content": [result, {"type": "text", "text": "Go on"}]},
        ],
        "max_tokens": 9,
        "metadata": {"user_id": "user_1_session_2"},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 2}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Fine"},
        },
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "w", "name": "write", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '{"text":'},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '"x"}'},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use"},
            "usage": {"input_tokens": 30, "output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    turn = decode(turn_event("/v1/messages", request, stream, SSE))
    assert turn.messages == (
        Message("system", "Be\nterse."),
        Message("user", "Hi"),
        Message(
            "assistant",
            "Ok",
            {
                "tool_calls": [{"id": "u", "function": {"name": "read", "arguments": {"p": 1}}}],
                "thinking": "t",
            },
        ),
        Message("user", "Go on"),
        Message("tool", "x", {"tool_name": "read", "tool_call_id": "u"}),
    )
    assert (turn.options, turn.session) == ({"num_predict": 9}, "user_1_session_2")
    assert (
        turn.answer,
        turn.done_reason,
        turn.prompt_tokens,
        turn.answer_tokens,
        turn.complete,
    ) == ("Fine", "tool_use", 30, 5, True)
    assert turn.answer_extra == {
        "tool_calls": [{"id": "w", "function": {"name": "write", "arguments": {"text": "x"}}}]
    }


@pytest.mark.parametrize(
    "event",
    [
        turn_event("/api/embed", {}, "{}"),
        turn_event("/api/chat", "not json", "{}"),
        turn_event("/api/chat", "[1]", "{}"),
        turn_event("/api/chat", "[" * 100_000, "{}"),
        turn_event("/api/chat", {}, "{}", status="200"),
        Event("1", "turn", 0.0, "gateway", {}),
    ],
)
def test_what_is_no_turn_is_refused(event: Event) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(event)


KEYS = [
    "messages",
    "message",
    "content",
    "role",
    "tool_calls",
    "function",
    "choices",
    "delta",
    "type",
    "input",
    "usage",
    "index",
]
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    endpoint=st.sampled_from(ENDPOINTS),
    request=st.dictionaries(
        st.sampled_from(["messages", "input", "prompt", "system", "options", "images"]), JSONISH
    ),
    answer=JSONISH,
    kind=st.sampled_from([NDJSON, SSE, JSON]),
)
@example(endpoint="/api/generate", request={"images": 5}, answer=None, kind=JSON)
@example(
    endpoint="/api/chat",
    request={"messages": [{"images": 5, "content": 7}]},
    answer={"message": {"tool_calls": {}}},
    kind=NDJSON,
)
@settings(max_examples=300)
def test_no_json_of_whatever_shape_breaks_the_decoder(
    endpoint: str, request: dict[str, Any], answer: Any, kind: str
) -> None:
    turn = decode(
        turn_event(
            endpoint, request, ("data: " if kind == SSE else "") + json.dumps(answer) + "\n\n", kind
        )
    )
    assert isinstance(turn, Turn)
