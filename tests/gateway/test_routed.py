"""A routed exchange differs in the value of `model` alone, and only inference is routed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.exchanges import ENDPOINTS, ROUTES, body_of
from tests.support.fake_ollama import (
    RECORDINGS,
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    recorded,
    stream,
    whole,
)

LINES = [
    b'{"model":"m:latest","message":{"role":"assistant","content":"word %d"},"done":%s}\n'
    % (k, b"true" if k == 4 else b"false")
    for k in range(5)
]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r["version"])
def test_a_routed_exchange_differs_in_the_model_alone(
    fake: FakeOllama, routed: GatewayProcess, recording: dict[str, Any]
) -> None:
    passed = 0
    for exchange in recording["exchanges"]:
        asked = exchange["request"]
        if (
            asked["path"] not in ENDPOINTS
            or not isinstance(asked["body"], dict)
            or asked["body"].get("model") != "rec-a:v1"
        ):
            continue
        text = json.dumps({k: v for k, v in exchange.items() if k in ("chunks", "body")})
        answered = json.loads(
            text.replace('\\"model\\":\\"rec-a:v1\\"', '\\"model\\":\\"qi-agent:v1.1.0\\"')
        )
        length = (
            [("Content-Length", str(len(answered["body"].encode())))] if "body" in answered else []
        )
        headers = [h for h in exchange["headers"] if h[0] != "Content-Length"] + length
        fake.play(recorded({**exchange, **answered, "headers": headers}))
        through = ask(routed.url, "POST", asked["path"], body_of(exchange), asked["headers"])
        (got,) = fake.received
        sent = body_of(exchange)
        assert sent is not None
        assert got.body == sent.replace(b'"model": "rec-a:v1"', b'"model": "qi-agent:v1.1.0"', 1)
        assert got.header("content-length") == str(len(got.body))
        assert (
            through.body
            == (exchange["body"] if "body" in exchange else "".join(exchange["chunks"])).encode()
        )
        assert through.chunks == (
            [piece.encode() for piece in exchange["chunks"]] if "chunks" in exchange else None
        )
        assert through.header("x-qi-learn-model") == "qi-agent:v1.1.0"
        assert through.whole
        passed += 1
    assert passed > 20


def test_only_inference_is_routed(fake: FakeOllama, routed: GatewayProcess) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.1.0"}'))
    for method, path in (
        ("DELETE", "/api/delete"),
        ("POST", "/api/show"),
        ("POST", "/api/embed"),
        ("POST", "/v1/embeddings"),
        ("POST", "/api/chatter"),
    ):
        answer = ask(routed.url, method, path, b'{"model":"rec-a:v1"}')
        assert fake.received[-1].body == b'{"model":"rec-a:v1"}'
        assert answer.body == b'{"model":"qi-agent:v1.1.0"}'
        assert answer.header("x-qi-learn-model") is None


def test_a_version_asked_by_its_own_name_means_itself(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    fake.play(whole(b'{"model":"qi-agent:v1.0.0","response":"x","done":true}'))
    answer = ask(
        routed.url,
        "POST",
        "/api/generate",
        b'{"model":"qi-agent:v1.0.0","prompt":"say \\"model\\": \\"qi-agent\\""}',
    )
    assert (
        fake.received[-1].body
        == b'{"model":"qi-agent:v1.0.0","prompt":"say \\"model\\": \\"qi-agent\\""}'
    )
    assert answer.header("x-qi-learn-model") is None


def test_a_routed_stream_cut_in_the_middle_of_the_name_comes_back_whole(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    lines = b"".join(LINES).replace(b"m:latest", b"qi-agent:v1.1.0")
    fake.play(stream([lines[k : k + 7] for k in range(0, len(lines), 7)]))
    answer = ask(
        routed.url,
        "POST",
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": '{"model":"m"}'}]},
    )
    assert answer.body == b"".join(LINES).replace(b'"m:latest"', b'"m"')
    assert answer.whole


def test_a_routed_document_without_a_length_is_changed_as_a_whole(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    document = b'{"text":"\\"model\\":\\"qi-agent:v1.1.0\\"","model":"qi-agent:v1.1.0"}'
    fake.play(stream([document[:50], document[50:]], "application/json"))
    answer = ask(routed.url, "POST", "/v1/chat/completions", {"model": "qi-agent", "messages": []})
    assert answer.body == b'{"text":"\\"model\\":\\"qi-agent:v1.1.0\\"","model":"qi-agent"}'


def test_a_new_route_holds_for_the_next_request_and_a_broken_file_changes_nothing(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.play(whole(b'{"done":true}'))

    def sent(gateway: GatewayProcess) -> Any:
        ask(
            gateway.url,
            "POST",
            "/api/chat",
            {"model": "qi-agent", "messages": []},
            {"x-qi-learn-session": "s1"},
        )
        return json.loads(fake.received[-1].body)["model"]

    def put(gateway: GatewayProcess, text: str) -> None:
        temp = gateway.paths.data / "new"
        temp.write_text(text)
        temp.replace(gateway.paths.routes)

    with a_gateway(fake.url, tmp_path) as gateway:
        assert sent(gateway) == "qi-agent"
        put(gateway, json.dumps(ROUTES))
        assert sent(gateway) == "qi-agent:v1.1.0"
        put(gateway, "{")
        assert sent(gateway) == "qi-agent:v1.1.0"
        assert "routes.json" in gateway.status["routes_problem"]
        put(gateway, json.dumps({**ROUTES, "arms": [{"model": "qi-agent:v1.2.0", "share": 1.0}]}))
        assert sent(gateway) == "qi-agent:v1.2.0"
        assert gateway.status["routes_problem"] is None
