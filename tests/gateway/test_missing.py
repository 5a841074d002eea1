"""A routed model that the server does not have breaks no client, and errors name what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.gateway.missing import says_missing
from qi_learn.records import Event
from tests.support.command_line import wait_until
from tests.support.exchanges import ENDPOINTS, ROUTES
from tests.support.fake_ollama import (
    RECORDINGS,
    FakeOllama,
    GatewayProcess,
    Received,
    a_gateway,
    ask,
    stream,
    whole,
)

NOT_FOUND = "HTTP/1.1 404 Not Found"


def error_of(path: str, words: str) -> bytes:
    """An error in the form of its endpoint, as Ollama writes them."""
    if path == "/v1/messages":
        error: Any = {"type": "not_found_error", "message": words}
        return json.dumps({"type": "error", "error": error}).encode()
    if path.startswith("/v1/"):
        return json.dumps({"error": {"message": words, "type": "api_error"}}).encode()
    return json.dumps({"error": words}).encode()


def server_with(*models: str) -> Callable[[Received], list[Any]]:
    """A server that has these models only."""

    def answer(received: Received) -> list[Any]:
        path, model = received.line.split()[1], json.loads(received.body)["model"]
        if model not in models:
            return whole(error_of(path, f"model '{model}' not found"), status=NOT_FOUND)
        return whole(json.dumps({"model": model, "response": "x", "done": True}).encode())

    return answer


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with a_gateway(fake.url, tmp_path_factory.mktemp("home")) as gateway:
        routes = {**ROUTES, "answer_for": ["rec-a:v1", "base:7b"]}
        gateway.paths.routes.write_text(json.dumps(routes))
        yield gateway


@pytest.fixture
def pinned(fake: FakeOllama, gateway: GatewayProcess) -> GatewayProcess:
    """A gateway that has missed nothing yet: what was missing before is there again."""
    fake.play([])
    fake.answer = server_with("qi-agent:v1.1.0")
    assert ask(gateway.url, "POST", "/api/chat", {"model": "qi-agent"}).status.endswith("200 OK")
    wait_until(lambda: gateway.status["missing"] == [])
    return gateway


def turn_of(gateway: GatewayProcess, id: str | None) -> Event:
    """The turn that was recorded under this id."""
    found: list[Event] = []

    def look() -> bool:
        found.extend(turn for turn in gateway.turns(1) if turn.id == id)
        return bool(found)

    wait_until(look)
    (turn,) = found
    return turn


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("asked", "there", "answers"),
    [
        ("base:7b", ("base:7b",), "base:7b"),
        ("rec-a:v1", ("rec-a:v1", "base:7b"), "rec-a:v1"),
        ("rec-a:v1", ("base:7b",), "base:7b"),
        ("qi-agent", ("base:7b",), "base:7b"),
        ("qi-agent:latest", ("qi-agent:v1.0.0",), "qi-agent:v1.0.0"),
    ],
)
def test_the_base_answers_while_the_routed_model_is_missing(
    fake: FakeOllama,
    pinned: GatewayProcess,
    path: str,
    asked: str,
    there: tuple[str, ...],
    answers: str,
) -> None:
    fake.play([])
    fake.answer = server_with(*there)
    answer = ask(pinned.url, "POST", path, {"model": asked, "messages": [], "prompt": "x"})
    assert answer.status == "HTTP/1.1 200 OK"
    assert answer.json["model"] == asked
    assert answer.header("x-qi-learn-model") == answers
    assert json.loads(fake.received[0].body)["model"] == "qi-agent:v1.1.0"
    turn = turn_of(pinned, answer.header("x-qi-learn-turn"))
    assert turn.body["model_answered"] == answers
    assert turn.body["model_digest"] is None
    wait_until(lambda: bool(pinned.status["missing"]))
    (missing,) = pinned.status["missing"]
    assert (missing["model"], missing["count"], missing["stand_in"]) == (
        "qi-agent:v1.1.0",
        1,
        answers,
    )
    fake.answer = server_with("qi-agent:v1.1.0")
    assert ask(pinned.url, "POST", path, {"model": asked}).header("x-qi-learn-model") == (
        "qi-agent:v1.1.0"
    )
    wait_until(lambda: pinned.status["missing"] == [])


def test_nothing_there_is_said_with_the_name_that_was_asked_for(
    fake: FakeOllama, pinned: GatewayProcess
) -> None:
    fake.play([])
    fake.answer = server_with()
    answer = ask(pinned.url, "POST", "/api/chat", {"model": "qi-agent", "messages": []})
    assert answer.status == NOT_FOUND
    assert answer.json == {"error": "model 'qi-agent' not found"}


def test_a_404_that_is_not_about_the_model_is_passed_on(
    fake: FakeOllama, pinned: GatewayProcess
) -> None:
    fake.play(whole(b"404 page not found", "text/plain", NOT_FOUND))
    answer = ask(pinned.url, "POST", "/v1/responses", {"model": "qi-agent", "input": "x"})
    assert (answer.status, answer.body) == (NOT_FOUND, b"404 page not found")
    assert len(fake.received) == 1


def test_a_pinned_version_answers_or_nothing_does(fake: FakeOllama, pinned: GatewayProcess) -> None:
    fake.play([])
    fake.answer = server_with("qi-agent:v1.0.0", "base:7b")
    for name in ("base:7b@v1.0.0", "qi-agent@v1.0.0"):
        answer = ask(pinned.url, "POST", "/api/chat", {"model": name, "messages": []})
        assert answer.json["model"] == name
        assert answer.header("x-qi-learn-model") == "qi-agent:v1.0.0"
    gone = ask(pinned.url, "POST", "/api/chat", {"model": "base:7b@v1.9.0", "messages": []})
    assert gone.status == NOT_FOUND
    assert gone.json == {"error": "model 'base:7b@v1.9.0' not found"}
    other = ask(pinned.url, "POST", "/api/chat", {"model": "else:7b@v1.0.0", "messages": []})
    assert json.loads(fake.received[-1].body)["model"] == "else:7b@v1.0.0"
    assert other.header("x-qi-learn-model") is None


SAYINGS = (
    "registry.ollama.ai/library/qi-agent:v1.1.0 does not support tools",
    "library/qi-agent:v1.1.0 does not support thinking",
    'model "qi-agent:v1.1.0" is too large. See registry.ollama.ai/library/QI-agent:v1.1.0.',
)


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_error_names_the_version_that_was_sent(
    fake: FakeOllama, routed: GatewayProcess, path: str, saying: str
) -> None:
    fake.play(whole(error_of(path, saying), status="HTTP/1.1 400 Bad Request"))
    answer = ask(routed.url, "POST", path, {"model": "rec-a:v1", "messages": [], "tools": []})
    assert b"qi-agent" not in answer.body.lower()
    assert b"rec-a:v1" in answer.body
    assert answer.header("content-length") == str(len(answer.body))


def test_an_error_in_the_middle_of_a_stream_names_what_was_asked_for(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    said = SAYINGS[0]
    streams = {
        "/api/chat": (b'{"error":"%b"}\n' % said.encode(), "application/x-ndjson"),
        "/v1/chat/completions": (
            b'data: {"error":{"message":"%b"}}\n\n' % said.encode(),
            "text/event-stream",
        ),
        "/v1/responses": (
            b'event: error\ndata: {"type":"error","message":"%b"}\n\n'
            b'event: response.failed\ndata: {"type":"response.failed","response":{"model":'
            b'"qi-agent:v1.1.0","error":{"message":"%b"}}}\n\n' % (said.encode(), said.encode()),
            "text/event-stream",
        ),
    }
    for path, (line, kind) in streams.items():
        fake.play(stream([line[:20], line[20:]], kind))
        answer = ask(routed.url, "POST", path, {"model": "rec-a:v1", "input": "x"})
        wanted = line.replace(b"registry.ollama.ai/library/qi-agent:v1.1.0", b"rec-a:v1")
        assert answer.body == wanted.replace(b"qi-agent:v1.1.0", b"rec-a:v1")


def test_what_a_model_says_about_names_stays(fake: FakeOllama, routed: GatewayProcess) -> None:
    said = '{"model":"qi-agent:v1.1.0","response":"qi-agent:v1.1.0","done":true}'
    fake.play(whole(said.encode()))
    answer = ask(routed.url, "POST", "/api/generate", {"model": "rec-a:v1", "prompt": "x"})
    assert answer.json == {"model": "rec-a:v1", "response": "qi-agent:v1.1.0", "done": True}
    longer = '{"error":"qi-agent:v1.1.0-rc and my/qi-agent:v1.1.0x are others"}'
    fake.play(whole(longer.encode(), status="HTTP/1.1 400 Bad Request"))
    assert ask(routed.url, "POST", "/api/chat", {"model": "m"}).body == longer.encode()


def test_a_turn_has_the_id_that_its_client_asks_for_once(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0","message":{"content":"x"},"done":true}'))
    wanted = "01HZX3V5J8Q2M4N6P7R9S0T1AB"
    routed.turns()
    given = [
        ask(routed.url, "POST", "/api/chat", {"model": "m"}, {"x-qi-learn-request": id}).header(
            "x-qi-learn-turn"
        )
        for id in (wanted.lower(), wanted, "not an id", "8" + wanted[1:])
    ]
    assert given[0] == wanted
    assert len(set(given)) == 4
    turns = routed.turns(4)
    assert [turn.id for turn in turns] == given
    assert [decode(turn).id for turn in turns] == given


def test_only_a_routed_and_recorded_answer_names_its_turn(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play(whole(b'{"done":true}'))
    plain = ask(routed.url, "POST", "/api/chat", {"model": "else"})
    assert plain.header("x-qi-learn-turn") is None
    declined = ask(routed.url, "POST", "/api/chat", {"model": "m"}, {"x-qi-learn-record": "0"})
    assert declined.header("x-qi-learn-model") == "qi-agent:v1.1.0"
    assert declined.header("x-qi-learn-turn") is None


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
def test_what_real_servers_say_of_an_absent_model_is_understood(recording: dict[str, Any]) -> None:
    seen = set()
    for exchange in recording["exchanges"]:
        asked, code = exchange["request"], exchange["status"].split()[1]
        if asked["path"] not in ENDPOINTS or code != "404":
            continue
        assert "body" in exchange, exchange["name"]  # never in chunks: its length is known
        assert says_missing(exchange["body"].encode()), exchange["body"]
        seen.add(asked["path"])
    assert seen >= {"/api/chat", "/v1/chat/completions", "/v1/messages"}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"404 page not found",
        b'{"error":5}',
        b'{"error":"file not found"}',
        b'{"error":{"message":null}}',
        b'{"error":"model is busy"}',
        b"[" * 100_000,
    ],
)
def test_other_documents_do_not_say_that_a_model_is_missing(document: bytes) -> None:
    assert not says_missing(document)
