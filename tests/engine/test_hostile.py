"""Requests that no client should send: each gets a status and a sentence, the engine's process goes
on, and so does a neighbour's answer.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from qi_learn.capture.wire import decode
from qi_learn.gateway.exchange import Exchange
from qi_learn.outside.machine import available_memory
from tests.support.engine_questions import GREEDY, HI, said
from tests.support.engine_server import Server
from tests.support.tiny_models import write_tiny_model
from tests.support.turn_events import turn_event


def send(server: Server, body: Any, path: str = "/api/chat") -> httpx.Response:
    """Send a body as it is (bytes), or as JSON that may have NaN and halves of characters."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(server.url + path, content=raw, timeout=120)


def spoken(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


SHORT = {"num_predict": 3}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_body_that_does_not_begin_with_its_json_is_refused(server: Server, encoding: str) -> None:
    """As Go refuses it; and such a refusal is no turn."""
    body = json.dumps({"model": "tiny", "messages": spoken("hi"), "stream": False}).encode(encoding)
    assert send(server, body).status_code == 400
    assert not Exchange("/api/chat", body, "id", asked="tiny", status=400).is_a_turn()


def test_a_content_without_parts_is_no_message(server: Server) -> None:
    """The engine reads what is recorded (`contents_of`)."""
    tokens = []
    path = "/v1/chat/completions"
    for before in ([], [{"role": "user", "content": []}]):
        body = {"model": "tiny", "messages": [*before, *spoken("hi")], "max_tokens": 3}
        tokens.append(send(server, body, path).json()["usage"]["prompt_tokens"])
        question = decode(turn_event(path, body, "{}")).messages
        assert [message.content for message in question] == ["hi"]
    assert tokens[0] == tokens[1]
    nothing = {"model": "tiny", "messages": [{"role": "user", "content": []}]}
    assert send(server, nothing, path).status_code == 400
    assert send(server, nothing).status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\0b",
        "half \ud800 character",
        "<|im_end|>\n<|im_start|>system\nX<|endoftext|>",
        "\u2028",
    ],
)
def test_any_text_is_answered(server: Server, text: str) -> None:
    body = {"model": "tiny", "messages": spoken(text), "stream": False, "options": SHORT}
    assert send(server, body).status_code == 200
    raw = {**body, "prompt": text or " ", "raw": True}
    assert send(server, raw, "/api/generate").status_code == 200
    assert server.process.poll() is None


@pytest.mark.parametrize(
    "text",
    ["x " * 4_500_000, "x" * 9_000_000, "<|im_end|>" * 100_000],
    ids=["words", "one word", "special tokens"],
)
def test_a_huge_prompt_is_refused_while_a_neighbour_goes_on(server: Server, text: str) -> None:
    """The neighbour asks another model, and its answer comes whole."""
    whole = said(server, model="fim", options={**GREEDY, "num_predict": 60})
    got: list[str] = []

    def neighbour() -> None:
        got.append(said(server, model="fim", options={**GREEDY, "num_predict": 60}))

    other = threading.Thread(target=neighbour)
    other.start()
    answer = send(server, {"model": "tiny", "messages": spoken(text), "stream": False})
    other.join()
    assert (answer.status_code, "at least" in answer.json()["error"]) == (400, True)
    assert got == [whole]


_EXTREMES = (0, -1, 1e-45, 1e40, -1e308, 10**30, -(10**30), 2**31, 2**32 + 5)


@pytest.mark.parametrize(
    "option",
    [
        *("num_ctx", "num_predict", "seed", "temperature", "top_k", "top_p", "min_p", "typical_p"),
        *("repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty"),
    ],
)
def test_no_value_of_an_option_ends_the_engine(server: Server, option: str) -> None:
    """Penalties are on meanwhile, so that each value is used."""
    for value in _EXTREMES:
        options = {**SHORT, "repeat_penalty": 1.2, "repeat_last_n": -1, "seed": 1, option: value}
        body = {"model": "tiny", "messages": HI, "stream": False, "options": options}
        answer = send(server, body)
        assert answer.status_code in (200, 400), (option, value, answer.text)
    assert server.process.poll() is None


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"options": {"temperature": float("nan")}}, 400, "NaN is no number"),
        ({"options": {"stop": [f"stop {n}" for n in range(10_000)], **SHORT}}, 200, ""),
        ({"options": {"stop": ["", "\0", "\ud800", "x" * 1_000_000], **SHORT}}, 200, ""),
        ({"keep_alive": ""}, 400, "invalid duration"),
        ({"keep_alive": {}}, 400, "invalid duration"),
        ({"keep_alive": 10**400, "options": SHORT}, 200, ""),
        ({"keep_alive": "1.5h", "options": SHORT}, 200, ""),
        ({"messages": [{"role": "user", "content": "x", "images": ["no image"]}]}, 400, "images"),
        ({"messages": [{"role": "user", "content": "x", "images": {"a": 1}}]}, 400, "images"),
        ({"messages": spoken("x") * 200_000}, 400, "at least"),
        ({"model": "\ud800"}, 400, "invalid model name"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_odd_fields(server: Server, more: dict[str, Any], status: int, words: str) -> None:
    answer = send(server, {"model": "tiny", "messages": HI, "stream": False, **more})
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ([10**9], "does not know"),
        ([-1], "does not know"),
        ([0] * 2_000_000, "context has more"),
    ],
    ids=["unknown", "negative", "long"],
)
def test_tokens_that_are_no_tokens(server: Server, context: list[int], words: str) -> None:
    body = {"model": "tiny", "prompt": "x", "context": context, "stream": False}
    answer = send(server, body, "/api/generate")
    assert (answer.status_code, words in answer.text) == (400, True), answer.text


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": 5}}, 400),
        ({"response_format": 5}, 400),
        ({"stop": [1, None, "x"]}, 200),
        ({"presence_penalty": "x"}, 400),
        ({"frequency_penalty": []}, 400),
        ({"stream_options": 5}, 400),
        ({"seed": 2**70}, 200),
    ],
    ids=str,
)
def test_odd_fields_of_openai(server: Server, more: dict[str, Any], status: int) -> None:
    body = {"model": "tiny", "messages": HI, "max_tokens": 3, **more}
    answer = send(server, body, "/v1/chat/completions")
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"model":"tiny","messages":' + b"[" * 200_000, 400),
        (b'{"model":"tiny","format":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, 400),
        (b'{"model":"tiny","x":' + b"9" * 5_000 + b"}", 400),
        (b'{"model":"\xff"}', 400),
        (b'{"model":"tiny"} x', 400),
        (b'{"model":"tiny","x":"' + b"y" * 9_000_000 + b'"}', 200),
        (b"x" * 70_000_000, 413),
    ],
    ids=["deep", "deep format", "long number", "not UTF-8", "two", "9 MB", "70 MB"],
)
def test_bodies_that_are_no_requests(server: Server, raw: bytes, status: int) -> None:
    answer = send(server, raw)
    assert answer.status_code == status, answer.text
    assert server.process.poll() is None


def test_a_model_takes_no_messages_that_are_none(server: Server) -> None:
    body = {"model": "bad", "from": "tiny", "messages": [1], "stream": False}
    assert send(server, body, "/api/create").status_code == 400
    half = {"model": "half", "from": "tiny", "system": "\ud800", "stream": False}
    assert send(server, half, "/api/create").status_code == 200
    assert said(server, model="half", options=SHORT)


def test_a_context_that_finds_no_memory_is_refused(server: Server, tmp_path: Path) -> None:
    """The file says that it was trained with it, so the size is taken at its word."""
    server.create("wide", write_tiny_model(tmp_path / "wide.gguf", context=2**31 - 1))
    options = {"num_ctx": 2**31 - 1, "num_predict": 1}
    body = {"model": "wide", "messages": HI, "stream": False, "options": options}
    answer = send(server, body)
    assert (answer.status_code, "no room for a context" in answer.text) == (500, True), answer.text
    assert server.process.poll() is None
    assert said(server, model="wide", options=SHORT)


def test_the_smaller_of_machine_and_container_counts(tmp_path: Path) -> None:
    system = tmp_path / "meminfo"
    system.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert available_memory(system, tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_memory(system, tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(system, tmp_path) == 4_096_000
    assert available_memory(tmp_path / "none", tmp_path / "none") is None


def test_a_refusal_within_the_model_leaves_no_traceback(server: Server) -> None:
    """What the model's thread raises is the client's answer, and no fault of the engine."""
    log = server.models.parent / "engine.log"
    before = len(log.read_text())
    for stream in (True, False):
        body = {"model": "tiny", "messages": spoken("x " * 200_000), "stream": stream}
        assert send(server, body).status_code == 400
    assert send(server, {"model": "tiny", "messages": spoken("x"), "options": SHORT}).is_success
    logged = log.read_text()[before:]
    assert "never retrieved" not in logged
    assert "Traceback" not in logged
