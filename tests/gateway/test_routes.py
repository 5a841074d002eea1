"""Which model answers, and the one value that a routed exchange changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gateway.model_field import parsed_model
from qi_learn.gateway.restore import NameRestorer
from qi_learn.gateway.rewrite import conversation
from qi_learn.gateway.routes import RouteFile, Routes, build_routes, is_cloud, normalise

ROUTES: dict[str, Any] = {
    "format": 1,
    "alias": "qi-agent:latest",
    "answer_for": ["qwen2.5-coder:7b"],
    "live": "qi-agent:v1.1.0",
    "digest": "d1",
    "arms": [],
    "salt": "s",
}
SPELLINGS = (
    "qi-agent",
    "qi-agent:latest",
    "QI-Agent:LATEST",
    "library/qi-agent",
    "registry.ollama.ai/library/qi-agent:latest",
    "Qwen2.5-Coder:7B",
    "https://registry.ollama.ai/library/qi-agent:latest",
)


def routes(**changed: Any) -> Routes:
    return build_routes({**ROUTES, **changed})


def rewritten(body: bytes, name: str) -> bytes | None:
    found = parsed_model(body)
    return None if found is None else found.exchanged(body, name)


@pytest.mark.parametrize("name", SPELLINGS)
def test_names_compare_as_ollama_compares_them(name: str) -> None:
    answering = routes().answering(name, lambda: "k")
    assert answering is not None
    assert (answering.model, answering.digest) == ("qi-agent:v1.1.0", "d1")


@pytest.mark.parametrize(
    "name",
    [
        "qi-agent:v1.0.0",
        "qi-agent:v1.1.0",
        "qwen2.5-coder",
        "me/qi-agent",
        "hf.co/library/qi-agent",
        "",
        "a b",
        "x" * 500,
    ],
)
def test_other_names_mean_themselves(name: str) -> None:
    assert routes().answering(name, lambda: "k") is None


def test_cloud_models_are_known_by_their_name() -> None:
    assert is_cloud("gpt-oss:120b-cloud")
    assert is_cloud("Kimi-K2:CLOUD")
    assert not is_cloud("cloud-coder:7b")
    assert normalise("a b") is None


def keyed(key: str) -> Callable[[], str]:
    return lambda: key


def test_arms_get_their_share_of_the_sessions_and_a_session_keeps_its_arm() -> None:
    two = routes(
        arms=[
            {"model": "qi-agent:v1.2.0", "share": 0.2, "digest": "d2"},
            {"model": "qi-agent:v1.3.0", "share": 0.1},
        ]
    )
    seen = {"qi-agent:v1.1.0": 0, "qi-agent:v1.2.0": 0, "qi-agent:v1.3.0": 0}
    for session in map(str, range(4000)):
        first, second = (two.answering("qi-agent", keyed(session)) for _ in range(2))
        assert first == second
        assert first is not None
        seen[first.model] += 1
    for model, share in (
        ("qi-agent:v1.1.0", 0.7),
        ("qi-agent:v1.2.0", 0.2),
        ("qi-agent:v1.3.0", 0.1),
    ):
        assert abs(seen[model] / 4000 - share) < 0.03  # four standard deviations of 4,000 draws
    other = routes(arms=[{"model": "qi-agent:v1.2.0", "share": 0.5}], salt="another")
    same = routes(arms=[{"model": "qi-agent:v1.2.0", "share": 0.5}])
    chosen = [[r.answering("qi-agent", keyed(str(k))) for k in range(200)] for r in (same, other)]
    assert chosen[0] != chosen[1]


def test_a_growing_share_keeps_the_sessions_it_has() -> None:
    small, large = (routes(arms=[{"model": "new:v2", "share": share}]) for share in (0.1, 0.3))
    for key in map(str, range(500)):
        before, after = (r.answering("qi-agent", keyed(key)) for r in (small, large))
        assert before is not None
        assert after is not None
        if before.model == "new:v2":
            assert after.model == "new:v2"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {**ROUTES, "format": 2},
        {**ROUTES, "alias": ""},
        {**ROUTES, "live": 5},
        {**ROUTES, "live": "qi-agent:v1\r\nX-Evil: 1"},
        {**ROUTES, "answer_for": "qwen"},
        {**ROUTES, "arms": [{"model": "m", "share": 1.5}]},
        {**ROUTES, "arms": [{"model": "m", "share": 0.6}, {"model": "n", "share": 0.6}]},
        {**ROUTES, "arms": [{"share": 0.5}]},
    ],
)
def test_a_file_that_makes_no_sense_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        build_routes(value)


def test_the_file_is_read_when_it_changes_and_the_last_good_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    file = RouteFile(path)
    assert file.current() is None

    def put(text: str) -> None:
        temp = tmp_path / "new"
        temp.write_text(text)
        os.utime(temp, ns=(1, 1))  # a rename within one tick of the clock must be seen all the same
        temp.replace(path)

    put(json.dumps(ROUTES))
    first = file.current()
    assert first is not None
    assert file.current() is first
    put('{"format": 1, "ali')
    assert file.current() is first
    assert str(path) in str(file.problem)
    put(json.dumps({**ROUTES, "live": "qi-agent:v1.2.0"}))
    second = file.current()
    assert second is not None
    assert (second.live.model, file.problem) == ("qi-agent:v1.2.0", None)
    path.unlink()
    assert file.current() is None


TRICKY = [
    '"model":"qi-agent"',
    '{"model": "other"}',
    "\\",
    '"',
    '\\"model\\":',
    "\u2028é😀",
    "\n}",
    "data: {",
]
VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(TRICKY) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "message", "x", "response"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    before=st.dictionaries(st.sampled_from(["messages", "prompt", "a"]), VALUES),
    after=st.dictionaries(st.sampled_from(["stream", "z"]), VALUES),
    spaced=st.booleans(),
)
def test_only_the_value_of_model_changes_in_a_request(
    before: dict[str, Any], after: dict[str, Any], spaced: bool
) -> None:
    old, new = (
        json.dumps(
            {**before, "model": name, **after}, indent=3 if spaced else None, ensure_ascii=spaced
        ).encode()
        for name in ("qi-agent", "qi:v1")
    )
    assert rewritten(old, "qi:v1") == new


def test_go_takes_the_last_of_two_and_any_case() -> None:
    assert (
        rewritten(b'{"model":"a","Model" : "b","x":1}', "n") == b'{"model":"a","Model" : "n","x":1}'
    )


def test_bytes_that_are_no_utf8_stay() -> None:
    assert (
        rewritten(b'{"prompt":"\xff\xfe","model":"a"}', "n") == b'{"prompt":"\xff\xfe","model":"n"}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model":"a"',
        b'{"model":5}',
        b'{"prompt":"x"}',
        b'{"model":"a",}',
        b"{'model':'a'}",
        b'{"a":' * 50_000,
    ],
)
def test_what_is_not_a_request_is_left_alone(body: bytes) -> None:
    assert rewritten(body, "n") is None


LINE = {
    "model": "qi-agent:v1.1.0",
    "created_at": "x",
    "message": {"content": '"model":"qi-agent:v1.1.0"', "model": "inner"},
    "done": False,
}


def line(value: Any, endpoint: str) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    return (
        f"event: {value.get('type', 'x')}\ndata: {text}\n\n"
        if endpoint in ("/v1/messages", "/v1/responses")
        else f"{text}\n"
    ).encode()


@settings(max_examples=60)
@given(data=st.data(), contents=st.lists(VALUES, min_size=1, max_size=5))
@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("/api/chat", ()), ("/v1/messages", ("message",)), ("/v1/responses", ("response",))],
)
def test_the_asked_name_is_put_back_however_the_stream_is_cut(
    endpoint: str, path: tuple[str, ...], data: st.DataObject, contents: list[Any]
) -> None:
    def event(content: Any, name: str) -> dict[str, Any]:
        inner = {"text": content, "model": name, "more": content}
        return {"type": "t", "x": content, **({path[0]: inner} if path else inner)}

    sent = b"".join(line(event(content, "qi-agent:v1.1.0"), endpoint) for content in contents)
    wanted = b"".join(line(event(content, "qwen é"), endpoint) for content in contents)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    restorer = NameRestorer("qwen é", "qi-agent:v1.1.0")
    passed = b""
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        passed += restorer.feed(sent[start:end])
        came, ended = sent[:end], sent.rfind(b"\n", 0, end) + 1
        assert passed.count(b"\n") == came[:ended].count(
            b"\n"
        )  # every finished line went on at once
    assert passed + restorer.rest() == wanted


def test_other_names_and_other_fields_stay() -> None:
    restorer = NameRestorer("asked", "qi-agent:v1.1.0")
    other = json.dumps({**LINE, "model": "someone"}).encode() + b"\n"
    assert restorer.feed(other) == other
    (changed,) = restorer.feed(json.dumps(LINE).encode() + b"\n").splitlines()
    assert json.loads(changed) == {**LINE, "model": "asked"}
    for odd in (
        b"\n",
        b": comment\n",
        b"data: [DONE]\n",
        b"event: {\n",
        b'{"model":\n',
        b"\xff\n",
        b'{"model":7}\n',
    ):
        assert restorer.feed(odd) == odd
    assert restorer.feed(b'{"model":"qi-agent:v1') == b""
    assert restorer.rest() == b'{"model":"qi-agent:v1'
    assert (
        NameRestorer("asked", "QI-agent:v1.1.0").whole(b'{"a":1, "model" :"qi-agent:v1.1.0"}')
        == b'{"a":1, "model" :"asked"}'
    )


def test_a_conversation_keeps_its_key_as_it_grows() -> None:
    first = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]
    later = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}]
    assert conversation({"messages": first})() == conversation({"messages": later})()
    assert (
        conversation({"messages": first})()
        != conversation({"messages": [{"role": "user", "content": "other"}]})()
    )
    assert (
        conversation({"prompt": "x" * 256 + "a"})() == conversation({"prompt": "x" * 256 + "b"})()
    )
    assert conversation({})() == conversation({})()
