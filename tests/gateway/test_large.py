"""Large requests: the name is found without reading all, and nobody waits for them."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gateway.exchange import LONGEST
from qi_learn.gateway.model_field import (
    LOOKED_AT,
    ModelField,
    Unsure,
    find_model,
    parsed_model,
    scanned_model,
)
from tests.support.fake_ollama import FakeOllama, GatewayProcess, ask, stream, whole

TOOLS = [{"type": "function", "function": {"parameters": {"properties": {"model": {"a": "b"}}}}}]
LONG = "x" * (2 * LOOKED_AT)


def found(body: bytes) -> ModelField | None:
    """What a quick look finds, or the whole text if that does not tell."""
    try:
        return find_model(body)
    except Unsure:
        return parsed_model(body)


VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(['"model":"a"', '\\"model', "model", "}", "{", '"', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "Model", "x", '"model"']), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    before=st.dictionaries(st.sampled_from(["messages", "prompt", "a"]), VALUES),
    after=st.dictionaries(st.sampled_from(["stream", "z"]), VALUES),
    model=st.sampled_from(["qwen:7b", 'a "b"', "é", ""]),
    spaced=st.booleans(),
)
def test_a_quick_look_finds_what_the_whole_text_says(
    before: dict[str, Any], after: dict[str, Any], model: str, spaced: bool
) -> None:
    body = json.dumps(
        {**before, "model": model, **after}, indent=2 if spaced else None, ensure_ascii=spaced
    ).encode()
    assert found(body) == parsed_model(body)
    field = parsed_model(body)
    assert field is not None
    assert field.name == model


@pytest.mark.parametrize(
    ("request_", "quick"),
    [
        ({"model": "m:1", "messages": [LONG] * 3, "tools": TOOLS}, True),
        ({"messages": [LONG] * 3, "model": "m:1"}, True),
        ({"stream": True, "tools": TOOLS, "model": "m:1", "messages": [LONG] * 3}, True),
        ({"messages": [LONG, {"model": "inner"}], "model": "m:1", "options": {}}, True),
        ({"messages": [LONG] * 3, "model": "m:1", "tools": [LONG] * 3}, False),
        ({"model": "m:1", "messages": [LONG, {"model": "in the middle"}, LONG]}, True),
        ({"messages": [LONG] * 3, "Model": "m:1"}, False),
    ],
)
def test_the_name_in_a_long_request(request_: dict[str, Any], quick: bool) -> None:
    body = json.dumps(request_).encode()
    if quick:
        assert find_model(body) == parsed_model(body)
    else:
        with pytest.raises(Unsure):
            find_model(body)
    field = found(body)
    assert field is not None
    assert field.name == "m:1"
    assert (
        json.loads(field.exchanged(body, "other"))["Model" if "Model" in request_ else "model"]
        == "other"
    )


def test_a_long_request_is_routed_and_recorded(fake: FakeOllama, routed: GatewayProcess) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0","message":{"content":"ok"},"done":true}'))
    routed.turns()
    for body in (
        {"model": "m", "messages": [{"role": "user", "content": "x\n\u00e9" * 1_000_000}]},
        {"messages": [{"role": "user", "content": "y" * 3_000_000}], "model": "m"},
    ):
        raw = json.dumps(body, ensure_ascii=False).encode()
        answer = ask(routed.url, "POST", "/api/chat", raw)
        assert answer.json["model"] == "m"
        assert fake.received[-1].body == raw.replace(b'"m"', b'"qi-agent:v1.1.0"')
        (turn,) = routed.turns(1)
        assert turn.body["request"].encode() == raw


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(["model", "Model", "messages", "x"]), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(["model", "mOdel", "z"]), VALUES, max_size=2),
    st.booleans(),
)
def test_going_through_finds_what_the_whole_text_says(
    before: dict[str, Any], after: dict[str, Any], spaced: bool
) -> None:
    one, two = (json.dumps(part, indent=2 if spaced else None) for part in (before, after))
    joined = f"{one[:-1].rstrip()},{two[1:]}" if before and after else one
    for text in (joined, joined.replace('"model"', r'"mode\u006c"'), f"[{one}]", '"model"', ""):
        assert scanned_model(text.encode()) == parsed_model(text.encode())


def test_a_request_that_is_too_long_to_be_recorded_is_routed_and_counted(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0","message":{"content":"ok"},"done":true}'))
    half = [{"role": "user", "content": "y\n" * 2_900_000}]
    orders: list[dict[str, Any]] = [
        {"model": "m", "messages": half, "tools": half},
        {"messages": half, "model": "m", "tools": half},
        {"messages": half, "tools": half, "model": "m"},
        {"messages": half, "Model": "m", "tools": half},
    ]
    routed.turns()
    before = routed.status["too_long"]
    for body in orders:
        raw = json.dumps(body).encode()
        assert len(raw) > LONGEST
        answer = ask(routed.url, "POST", "/api/chat", raw)
        assert answer.json["model"] == "m"
        assert fake.received[-1].body == raw.replace(b'"m"', b'"qi-agent:v1.1.0"')
    assert routed.status["too_long"] == before + len(orders)
    assert routed.turns() == []


def test_a_stream_goes_on_while_long_requests_pass(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    lines = [
        b'{"message":{"content":"%d"},"done":%s}\n' % (k, b"true" if k == 29 else b"false")
        for k in range(30)
    ]
    steps = stream(lines)
    paced = [step for part in steps for step in (part, 0.02)]
    body = {"model": "else", "messages": [{"role": "user", "content": "x\n" * 4_500_000}]}
    large = json.dumps(body).encode()
    fake.play([])
    fake.answer = lambda got: (
        whole(b'{"message":{"content":"ok"},"done":true}') if len(got.body) > 1000 else paced
    )
    routed.turns()
    times: list[float] = []
    over = threading.Event()

    def send_large() -> None:
        while not over.is_set():
            ask(routed.url, "POST", "/api/chat", large)

    sender = threading.Thread(target=send_large)
    sender.start()
    try:
        answer = ask(
            routed.url,
            "POST",
            "/api/chat",
            {"model": "else", "messages": []},
            on_chunk=lambda _: times.append(time.perf_counter()),
        )
    finally:
        over.set()
        sender.join()
    assert answer.chunks == lines
    assert len(times) == len(lines)
    turns = routed.turns(2, seconds=30)
    assert {len(turn.body["request"]) for turn in turns} >= {len(large)}
