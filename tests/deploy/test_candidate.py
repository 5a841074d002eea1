"""The smoke test of a model under test."""

from __future__ import annotations

from typing import Any

import pytest

from qi_learn.deploy.candidate import make_model, smoke_test
from tests.support.deploy_home import Home


def test_a_sound_candidate_passes_the_smoke_test(home: Home) -> None:
    home.base()
    gguf, digest = home.file("R1")
    make_model(home.server, "c:1", gguf, digest, {})
    smoke = smoke_test(home.server, "c:1", "qi-agent:v1.0.0")
    assert (smoke.answers, smoke.stops, smoke.same_template, smoke.same_stops, smoke.problem) == (
        True,
        True,
        True,
        True,
        "",
    )


def test_a_sound_candidate_is_asked_little(home: Home) -> None:
    """One answer that ends is enough, of each model, and three short ones that are to be alike."""
    home.base()
    gguf, digest = home.file("R1")
    make_model(home.server, "c:1", gguf, digest, {})
    question = {"messages": [{"role": "user", "content": "Say hi."}]}
    each = home.server.ask({"endpoint": "/api/chat", "body": question}, "c:1").answer_tokens
    before = home.server.used.answer_tokens
    smoke_test(home.server, "c:1", "qi-agent:v1.0.0")
    assert home.server.used.answer_tokens - before == (2 + 3) * each > 0


@pytest.mark.parametrize(
    ("behaviour", "spec", "wrong"),
    [
        ({"done_reason": "length"}, {}, "stops"),
        ({"mark": "x"}, {}, "same_template"),
        ({}, {"template": "other {{ .Messages }}"}, "same_template"),
        ({"eos": 7}, {}, "same_stops"),
        ({}, {"parameters": {"stop": ["<|im_end|>"]}}, "same_stops"),
        ({"moods": True}, {}, "same_twice"),
    ],
)
def test_what_the_smoke_test_finds(
    home: Home, behaviour: dict[str, Any], spec: dict[str, Any], wrong: str
) -> None:
    home.base()
    gguf, digest = home.file("R1", **behaviour)
    make_model(home.server, "c:1", gguf, digest, spec)
    smoke = smoke_test(home.server, "c:1", "qi-agent:v1.0.0")
    assert [
        name
        for name in ("answers", "stops", "same_template", "same_stops", "same_twice")
        if not getattr(smoke, name)
    ] == [wrong]


def test_a_base_that_never_stops_asks_no_stop_of_others(home: Home) -> None:
    gguf, digest = home.file("restless", done_reason="length")
    make_model(home.server, "base:1", gguf, digest, {})
    make_model(home.server, "c:1", gguf, digest, {})
    assert smoke_test(home.server, "c:1", "base:1").stops


def test_a_base_that_never_answers_the_same_asks_no_sameness_of_others(home: Home) -> None:
    gguf, digest = home.file("moody", moods=True)
    make_model(home.server, "base:1", gguf, digest, {})
    make_model(home.server, "c:1", gguf, digest, {})
    assert smoke_test(home.server, "c:1", "base:1").same_twice


def test_a_model_that_the_server_cannot_run_is_a_finding(home: Home) -> None:
    home.base()
    smoke = smoke_test(home.server, "absent:1", "qi-agent:v1.0.0")
    assert not smoke.answers
    assert "absent:1" in smoke.problem
