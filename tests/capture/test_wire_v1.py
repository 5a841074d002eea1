"""OpenAI's and Anthropic's questions and answers, put in Ollama's own terms."""

from __future__ import annotations

import json
from typing import Any

from qi_learn.capture.wire import decode
from qi_learn.records import Message
from tests.support.turn_events import SSE, turn_event


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
        Message("user", "What"),
        Message("user", "now?"),
        Message("user", "", {"images": 1}),
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
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "short"}],
                "encrypted_content": "think",
            },
            {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"p":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "text"},
        ],
        "reasoning": {"effort": "low"},
    }
    events: list[dict[str, Any]] = [
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
        Message(
            "assistant",
            "",
            {
                "tool_calls": [{"id": "c", "function": {"name": "read", "arguments": {"p": 1}}}],
                "thinking": "think",
            },
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
        Message("system", "Beterse."),
        Message("user", "Hi"),
        Message(
            "assistant",
            "Ok",
            {
                "tool_calls": [{"id": "u", "function": {"name": "read", "arguments": {"p": 1}}}],
                "thinking": "t",
            },
        ),
        Message("tool", "x", {"tool_name": "read", "tool_call_id": "u"}),
        Message("user", "Go on"),
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
