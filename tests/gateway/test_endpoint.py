"""Which endpoint a request means: its path alone says so, and what was missed is counted."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gateway.counters import MOST_KINDS, OTHER, Counters
from qi_learn.gateway.endpoint import INFERENCE, endpoint_of, looks_like_inference
from tests.support.command_line import wait_until
from tests.support.exchanges import ENDPOINTS
from tests.support.fake_ollama import FakeOllama, GatewayProcess, ask, stream, whole

BODY = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"prompt":"x"}'
SPELLINGS = (
    "{path}?beta=true",
    "{path}?api-version=2024-10-21&x=%2F",
    "{path}?",
    "{path}/",
    "/{path}",
    "/.{path}",
    "{escaped}",
)


def spelled(form: str, path: str) -> str:
    return form.format(path=path, escaped=f"/%{ord(path[1]):02X}{path[2:]}")


@pytest.mark.parametrize("form", SPELLINGS)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_every_spelling_of_a_path_is_routed_recorded_and_passed_as_it_came(
    fake: FakeOllama, routed: GatewayProcess, path: str, form: str
) -> None:
    target = spelled(form, path)
    fake.play(whole(b'{"model":"qi-agent:v1.1.0","done":true,"choices":[]}'))
    routed.turns()
    answer = ask(routed.url, "POST", target, BODY)
    (got,) = fake.received
    assert got.line == f"POST {target} HTTP/1.1"
    assert json.loads(got.body)["model"] == "qi-agent:v1.1.0"
    assert answer.json["model"] == "m"
    assert answer.header("x-qi-learn-model") == "qi-agent:v1.1.0"
    (turn,) = routed.turns(1)
    assert turn.body["endpoint"] == path
    assert (routed.paths.activity).exists()


@pytest.mark.parametrize(
    "target",
    [
        "/api/chat/x",
        "/v1/chat",
        "/api/Chat",
        "/x/api/chat",
        "/api/chat.",
        "/v1/messages/count_tokens",
    ],
)
def test_other_paths_are_other_endpoints(target: str) -> None:
    assert endpoint_of(target) not in INFERENCE


TARGETS = st.text(string.ascii_letters + "/?.%=&;-_#", max_size=30)


@settings(max_examples=300)
@given(TARGETS)
def test_any_target_has_an_endpoint(rest: str) -> None:
    endpoint = endpoint_of(f"/{rest}")
    assert endpoint.startswith("/")
    assert "?" not in endpoint or "%3f" in rest.lower()


@pytest.mark.parametrize(
    ("method", "endpoint", "looks"),
    [
        ("POST", "/v2/chat/completions", True),
        ("POST", "/chat/completions", True),
        ("POST", "/openai/deployments/x/chat/completions", True),
        ("POST", "/v1beta/models/gemini:streamGenerateContent", True),
        ("POST", "/infill", True),
        ("POST", "/generate_stream", True),
        ("POST", "/v1/v1/messages", True),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/api/embed", False),
        ("POST", "/api/show", False),
        ("POST", "/api/chat", False),
        ("GET", "/v2/chat/completions", False),
    ],
)
def test_what_looks_like_inference(method: str, endpoint: str, looks: bool) -> None:
    assert looks_like_inference(method, endpoint) == looks


def test_requests_that_were_not_recognised_are_told_by_path_and_client(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play(stream([b"{}\n"]))
    for _ in range(2):
        headers = {"User-Agent": "claude-cli/2.0 (external)"}
        assert ask(own.url, "POST", "/v9/messages?key=SECRET", BODY, headers).body == b"{}\n"
    ask(own.url, "POST", "/v9/completions", BODY)
    wait_until(lambda: len(own.status["unrecognised"]) == 2)
    first, second = own.status["unrecognised"]
    assert (first["path"], first["client"], first["count"]) == (
        "/v9/messages",
        "claude-cli/2.0",
        2,
    )
    assert (second["client"], second["count"]) == ("(no name)", 1)
    assert own.turns() == []


def test_what_is_counted_by_name_is_bounded() -> None:
    counters = Counters(clock=lambda: 7.0)
    for k in range(MOST_KINDS + 30):
        counters.unrecognised(f"/{k}/chat" + "x" * 1000, "c")
    facts = counters.facts()["unrecognised"]
    assert len(facts) == MOST_KINDS + 1
    assert (facts[0]["path"], facts[0]["count"], facts[0]["last"]) == (OTHER, 30, 7.0)
    assert sum(seen["count"] for seen in facts) == MOST_KINDS + 30
