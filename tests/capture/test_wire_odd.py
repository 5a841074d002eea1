"""What servers and clients do beside the standard: calls that share an index, refusals, counts that
leave the cached prompt out, files with CRLF, prompts that a client rendered.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.dataset.line_ends import like_the_prompt
from qi_learn.dataset.repeatable_request import ask_of
from qi_learn.records import Message, Suggestion, Tracked, Turn, TurnHead
from qi_learn.track.suggestions import frame_of, suggestions_of
from tests.support.turn_events import JSON, NDJSON, SSE, turn_event


def sse(*values: Any) -> str:
    return "".join(f"data: {json.dumps(value)}\n\n" for value in values) + "data: [DONE]\n\n"


def delta(**part: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": part}]}


def piece(index: int | None, id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"function": {"arguments": arguments}}
    if name:
        made["function"]["name"] = name
    if index is not None:
        made["index"] = index
    if id:
        made["id"] = id
    return delta(tool_calls=[made])


A, B = '{"path":"a.py","content":"A = 1\\n"}', '{"path":"b.py","content":"B = 2\\n"}'
TWO_CALLS = {
    "one index, two ids": [piece(0, "call_1", "write", A), piece(0, "call_2", "write", B)],
    "one index, no ids": [piece(0, None, "write", A), piece(0, None, "write", B)],
    "no index": [piece(None, "call_1", "write", A), piece(None, "call_2", "write", B)],
    "no index, no ids": [piece(None, None, "write", A), piece(None, None, "write", B)],
    "in pieces": [
        piece(0, "call_1", "write", A[:9]),
        piece(0, None, None, A[9:]),
        piece(1, "call_2", "write", ""),
        piece(1, None, None, B[:20]),
        piece(1, None, None, B[20:]),
    ],
    "in pieces, one index": [
        piece(0, "call_1", "write", A[:9]),
        piece(0, None, None, A[9:]),
        piece(0, "call_2", "write", B[:20]),
        piece(0, "call_2", None, B[20:]),
    ],
    "in turns": [
        piece(0, "call_1", "write", A[:9]),
        piece(1, "call_2", "write", B[:9]),
        piece(0, "call_1", "write", A[9:]),
        piece(1, None, None, B[9:]),
    ],
    "as objects": [
        piece(0, "call_1", "write", json.loads(A)),
        piece(0, "call_2", "write", json.loads(B)),
    ],
}


@pytest.mark.parametrize("form", TWO_CALLS)
def test_two_calls_are_two_calls(form: str) -> None:
    turn = decode(turn_event("/v1/chat/completions", {"messages": []}, sse(*TWO_CALLS[form]), SSE))
    calls = turn.answer_extra["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == [json.loads(A), json.loads(B)]
    assert [call["function"]["name"] for call in calls] == ["write", "write"]
    if all("id" in p["choices"][0]["delta"]["tool_calls"][0] for p in TWO_CALLS[form]):
        assert [call["id"] for call in calls] == ["call_1", "call_2"]
    assert [s.text for s in suggestions_of(turn)] == ["A = 1\n", "B = 2\n"]


@pytest.mark.parametrize(
    ("endpoint", "response", "kind"),
    [
        ("/v1/chat/completions", sse(delta(refusal="I "), delta(refusal="will not.")), SSE),
        (
            "/v1/chat/completions",
            json.dumps({"choices": [{"message": {"content": None, "refusal": "I will not."}}]}),
            JSON,
        ),
        (
            "/v1/responses",
            json.dumps(
                {
                    "status": "completed",
                    "output": [
                        {
                            "type": "message",
                            "content": [{"type": "refusal", "refusal": "I will not."}],
                        }
                    ],
                }
            ),
            JSON,
        ),
        (
            "/v1/responses",
            sse(
                {"type": "response.refusal.delta", "delta": "I "},
                {"type": "response.refusal.delta", "delta": "will not."},
            ),
            SSE,
        ),
    ],
)
def test_a_refusal_is_no_answer(endpoint: str, response: str, kind: str) -> None:
    turn = decode(turn_event(endpoint, {"messages": [], "input": "x"}, response, kind))
    assert (turn.answer, turn.answer_extra) == ("", {"refusal": "I will not."})


@pytest.mark.parametrize(
    ("endpoint", "usage", "tokens"),
    [
        ("/v1/chat/completions", {"prompt_tokens": 812}, 812),
        (
            "/v1/chat/completions",
            {"prompt_tokens": 812, "prompt_tokens_details": {"cached_tokens": 800}},
            812,
        ),
        (
            "/v1/chat/completions",
            {"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 800}},
            812,
        ),
        (
            "/v1/responses",
            {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 800}},
            812,
        ),
        ("/v1/messages", {"input_tokens": 812}, 812),
        (
            "/v1/messages",
            {
                "input_tokens": 2,
                "cache_read_input_tokens": 800,
                "cache_creation_input_tokens": 10,
            },
            812,
        ),
    ],
)
def test_the_whole_prompt_is_counted(endpoint: str, usage: dict[str, Any], tokens: int) -> None:
    answer: dict[str, Any] = {"type": "message", "content": [], "choices": [], "usage": usage}
    turn = decode(turn_event(endpoint, {"messages": []}, json.dumps(answer)))
    assert turn.prompt_tokens == tokens


@pytest.mark.parametrize(
    ("more", "think"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"output_config": {"effort": "XHigh"}}, "high"),
        ({}, None),
    ],
)
def test_what_a_client_of_anthropics_says_about_thinking(more: dict[str, Any], think: Any) -> None:
    turn = decode(turn_event("/v1/messages", {"messages": [], **more}, '{"type":"message"}'))
    assert turn.request.get("think") == think


def test_items_of_responses_join_the_message_of_the_assistant() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"}
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "a"}],
    }
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}] * 2},
        {"type": "reasoning", "encrypted_content": "why"},
        said,
        call,
        {**call, "call_id": "d"},
        {"type": "function_call_output", "call_id": "d", "output": [{"text": "o"}, {"text": "k"}]},
        {"type": "reasoning", "summary": [{"text": "not read"}]},
    ]
    turn = decode(turn_event("/v1/responses", {"input": items}, '{"status":"completed"}'))
    user, assistant, tool = turn.messages
    assert user == Message("user", "xx")
    assert (assistant.content, assistant.extra["thinking"]) == ("a", "why")
    assert [made["id"] for made in assistant.extra["tool_calls"]] == ["c", "d"]
    assert tool == Message("tool", "ok", {"tool_name": "read", "tool_call_id": "d"})


def generated(request: dict[str, Any], answer: str, endpoint: str = "/api/generate") -> Turn:
    line = json.dumps({"response": answer, "done": True})
    response = (
        line + "\n" if endpoint == "/api/generate" else json.dumps({"choices": [{"text": answer}]})
    )
    kind = NDJSON if endpoint == "/api/generate" else JSON
    return decode(turn_event(endpoint, {"model": "m", **request}, response, kind))


def tracked(turn: Turn) -> Tracked:
    (suggestion,) = suggestions_of(turn)
    return tracked_of(turn, suggestion)


def tracked_of(turn: Turn, suggestion: Suggestion) -> Tracked:
    head = TurnHead(turn.id, turn.endpoint, turn.started, turn.ended, turn.status, turn.project)
    return Tracked(suggestion, head, turn.messages[-1].content, turn.request)


@pytest.mark.parametrize("endpoint", ["/api/generate", "/v1/completions"])
def test_a_file_with_crlf_is_read_with_plain_lines_and_asked_as_it_was(endpoint: str) -> None:
    request = {
        "prompt": "def f(x):\r\n    if (x",
        "suffix": "):\r\n        return 1\r\n",
    }
    turn = generated(request, ".price > 0 and\r\n            x.open", endpoint)
    assert turn.messages[0].content == "def f(x):\n    if (x"
    assert turn.answer == ".price > 0 and\n            x.open"
    frame = frame_of(tracked(turn))
    assert (frame.lead, frame.trail) == ("    if (x", "):")
    assert frame.cut(frame.whole_lines(turn.answer)) == turn.answer
    ask = ask_of(turn)
    assert isinstance(ask, dict)
    assert ask["body"]["prompt"] == request["prompt"]
    assert ask["body"]["suffix"] == request["suffix"]
    text, spans = like_the_prompt(turn.answer, ((0, len(turn.answer)),), ask)
    assert text == ".price > 0 and\r\n            x.open"
    assert spans == ((0, len(text)),)


@pytest.mark.parametrize("prompt", ["a\nb\r\nc", "a\nb", "a", "a\rb"])
def test_other_line_ends_stay_as_they_are(prompt: str) -> None:
    turn = generated({"prompt": prompt, "raw": True}, "x\r\ny")
    assert (turn.messages[0].content, turn.answer) == (prompt, "x\r\ny")
    assert "line_ends" not in turn.request


def test_a_conversation_keeps_its_line_ends() -> None:
    request = {"messages": [{"role": "user", "content": "a\r\nb"}]}
    turn = decode(turn_event("/api/chat", request, '{"message":{"content":"c\\r\\n"},"done":true}'))
    assert (turn.messages[0].content, turn.answer) == ("a\r\nb", "c\r\n")


@pytest.mark.parametrize(
    "prompt",
    [
        "[SUFFIX]):\n    return first\n[PREFIX]import os\n\n\ndef add(",
        "<|fim_prefix|>import os\n\n\ndef add(<|fim_suffix|>):\n    return first\n<|fim_middle|>",
        "<fim_suffix>):\n    return first\n<fim_prefix>import os\n\n\ndef add(<fim_middle>",
        "###PATH:s.py\n###LANGUAGE:python\n###MODE:BLOCK\n<|code_suffix|>):\n    return first\n"
        "<|code_prefix|>import os\n\n\ndef add(<|code_middle|>",
    ],
)
def test_the_frame_of_a_completion_in_every_form(prompt: str) -> None:
    turn = generated({"prompt": prompt, "raw": True}, "first, second")
    frame = frame_of(tracked(turn))
    assert (frame.lead, frame.trail) == ("def add(", "):")


def test_a_gap_that_may_be_another_one_claims_nothing_of_the_line() -> None:
    prompt = "<|fim_prefix|>a\n<|fim_suffix|>\nadd(<|fim_suffix|>)\n<|fim_middle|>"
    frame = frame_of(tracked(generated({"prompt": prompt, "raw": True}, "first, second")))
    assert (frame.lead, frame.trail) == ("", "")


def test_prose_that_answers_a_rendered_conversation_is_no_suggestion() -> None:
    prompt = "<|im_start|>user\nWhat is a list?<|im_end|>\n<|im_start|>assistant\n"
    assert suggestions_of(generated({"prompt": prompt, "raw": True}, "A list holds items.")) == ()
    (code,) = suggestions_of(generated({"prompt": prompt, "raw": True}, "x = [1]\ny = x + x\n"))
    turn = generated({"prompt": prompt, "raw": True}, "x = [1]\ny = x + x\n")
    assert frame_of(tracked_of(turn, code)).lead == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_with_a_mark_in_front_and_data_on_several_lines(end: str) -> None:
    first = json.dumps(delta(content="def f"), indent=1).replace("\n", "\ndata: ")
    stream = f"\ufeffdata: {first}\n\n" + sse(delta(content="(): ..."))
    turn = decode(turn_event("/v1/chat/completions", {}, stream.replace("\n", end), SSE))
    assert (turn.answer, turn.complete) == ("def f(): ...", True)


@pytest.mark.parametrize(
    ("endpoint", "content_type", "response"),
    [
        ("/v1/chat/completions", SSE, sse(delta(content="\ud83d"), delta(content="\ude00 ok"))),
        (
            "/api/chat",
            NDJSON,
            "".join(
                json.dumps({"message": {"content": text}, "done": done}) + "\n"
                for text, done in (("\ud83d", False), ("\ude00 ok", True))
            ),
        ),
    ],
)
def test_a_letter_that_comes_in_two_halves(endpoint: str, content_type: str, response: str) -> None:
    turn = decode(turn_event(endpoint, {}, response, content_type))
    assert turn.answer == "\N{GRINNING FACE} ok"
