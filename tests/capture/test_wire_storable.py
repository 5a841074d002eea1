"""Whatever half letters and endless numbers a client or server writes, the turn is stored."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.store import ingest
from qi_learn.store.database import open_store
from qi_learn.store.turns import load_turn
from qi_learn.track.suggestions import suggestions_of
from tests.support.fake_ollama import FakeOllama, a_gateway, whole
from tests.support.turn_events import SSE, turn_event

CHAT = "/v1/chat/completions"
HALF = "\ud83d"
OK: dict[str, Any] = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}],
}
U = [{"role": "user", "content": "hi"}]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model": ({"model": "m" + HALF}, OK),
    "prompt_cache_key": ({"prompt_cache_key": HALF}, OK),
    "metadata": ({"metadata": {"session_id": "s" + HALF}}, OK),
    "role": ({"messages": [{"role": "user" + HALF, "content": HALF}]}, OK),
    "tools": ({"tools": [{"type": "function", "function": {"name": HALF, HALF: HALF}}]}, OK),
    "finish_reason": ({}, {"choices": [{**OK["choices"][0], "finish_reason": "st" + HALF}]}),
    "error": ({}, {"error": {"message": HALF}}),
    "count": ({}, {**OK, "usage": {"prompt_tokens": 2**63, "completion_tokens": -(2**70)}}),
    "number": ({"seed": 2**80, "temperature": 1e308}, OK),
}


@pytest.fixture
def fake() -> Any:
    with FakeOllama() as server:
        yield server


def drained(home: Any) -> ingest.Drained:
    with open_store(home.database) as store:
        now = time.time()
        return ingest.drain(store, home.spool, decode=decode, suggest=suggestions_of, now=now)


@pytest.mark.parametrize("record", ["true", '"metadata"'])
@pytest.mark.parametrize("case", CASES)
def test_no_half_letter_and_no_large_number_loses_a_turn(
    case: str, record: str, fake: FakeOllama, tmp_path: Path
) -> None:
    request, answer = CASES[case]
    fake.play(whole(json.dumps(answer).encode()))
    body = json.dumps({"model": "m", "messages": U, **request})
    with a_gateway(fake.url, tmp_path) as gateway:
        gateway.paths.settings_file.write_text(f"[gateway]\nrecord = {record}\n")
        _post(gateway.port, body, {})
        gateway.turns(1)
        found = drained(gateway.paths)
    assert (found.count, found.bad) == (1, 0)


def _post(port: int, body: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", CHAT, body, headers)
    connection.getresponse().read()
    connection.close()


def test_a_header_in_latin_1_keeps_its_letters(fake: FakeOllama, tmp_path: Path) -> None:
    """Node and Python's `http.client` send a header's letters so."""
    fake.play(whole(json.dumps(OK).encode()))
    project = str(tmp_path / "Übung")
    headers = {"x-qi-learn-project": project, "x-qi-learn-session": "café"}
    with a_gateway(fake.url, tmp_path / "home") as gateway:
        _post(gateway.port, json.dumps({"model": "m", "messages": U}), headers)
        gateway.turns(1)
        found = drained(gateway.paths)
        with open_store(gateway.paths.database) as store:
            turn = load_turn(store, found.turns[0])
    assert (turn.project, turn.session) == (project, "café")


def test_halves_become_their_letter_in_the_calls_of_openai() -> None:
    first, second = '{"path":"a.py","content":"x = \'' + HALF, "\ude00'\\n\"}"
    pieces = [
        {"index": 0, "id": "c", "function": {"name": "write", "arguments": first}},
        {"index": 0, "function": {"arguments": second}},
    ]
    events = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    turn = decode(turn_event(CHAT, {"messages": U}, lines, SSE))
    made = turn.answer_extra["tool_calls"][0]["function"]["arguments"]
    assert made == {"path": "a.py", "content": "x = '😀'\n"}
    assert suggestions_of(turn)[0].text == "x = '😀'\n"


def test_halves_become_their_letter_in_the_calls_of_anthropic() -> None:
    first, second = '{"file_path":"a.py","content":"x = \'' + HALF, "\ude00'\\n\"}"
    block = {"type": "tool_use", "id": "t", "name": "Write", "input": {}}
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": part},
            }
            for part in (first, second)
        ),
        {"type": "message_stop"},
    ]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    turn = decode(turn_event("/v1/messages", {"messages": U}, lines, SSE))
    made = turn.answer_extra["tool_calls"][0]["function"]["arguments"]
    assert made == {"file_path": "a.py", "content": "x = '😀'\n"}
