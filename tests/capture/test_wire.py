"""Every recorded answer of two real Ollamas decodes. Streams and whole answers say the same, and
what was cut off gives what came before the cut.
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
from tests.support.turn_events import JSON, NDJSON, SSE, turn_event

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


STREAMS = [
    "chat stream",
    "generate stream",
    "v1 chat stream",
    "v1 completions stream",
    "v1 responses stream",
    "v1 messages stream",
]


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
    # OpenAI's own streams tell counts only if they are asked to
    if not name.startswith(("v1 chat", "v1 completions")):
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
@settings(max_examples=300, deadline=None)
def test_no_json_of_whatever_shape_breaks_the_decoder(
    endpoint: str, request: dict[str, Any], answer: Any, kind: str
) -> None:
    turn = decode(
        turn_event(
            endpoint, request, ("data: " if kind == SSE else "") + json.dumps(answer) + "\n\n", kind
        )
    )
    assert isinstance(turn, Turn)
