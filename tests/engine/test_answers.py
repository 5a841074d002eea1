"""The embedded engine's answers: to exactly the rendered prompt, the same for the same question, in
the form that was asked for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from tests.support.engine_questions import GREEDY, HI, ask, said
from tests.support.engine_server import Server

# --- the prompt -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny", "bos"])
def test_what_is_evaluated_is_what_was_rendered(server: Server, model: str) -> None:
    """The number of tokens is that of the rendered text, its special tokens parsed, and a BOS is
    there once, whether the template writes it or not.
    """
    rendered = ask(server, model=model, _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert rendered.endswith("<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n")
    blob = (
        server.post("/api/show", {"model": model})
        .json()["modelfile"]
        .split("FROM ")[-1]
        .split("\n")[0]
    )
    with load_vocabulary(Path(blob)) as vocabulary:
        ids = vocabulary.prompt_ids(rendered)
        assert ids.count(vocabulary.bos) == (
            1 if model == "bos" else 2
        )  # in "tiny" the BOS is <|im_start|>, and not added
    assert ask(server, model=model, options=GREEDY)["prompt_eval_count"] == len(ids)
    raw = ask(server, "/api/generate", model=model, prompt=rendered, raw=True, options=GREEDY)
    assert raw["prompt_eval_count"] == len(ids)
    assert raw["response"] == said(server, model=model, options=GREEDY)
    assert "context" not in raw


def test_system_text_and_presets_come_first(server: Server, gguf: Path) -> None:
    server.create(
        "preset",
        gguf,
        system="Be brief.",
        messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    )
    head = (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\na<|im_end|>\n"
        "<|im_start|>assistant\nb<|im_end|>\n"
    )
    tail = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
    for path, body in (("/api/chat", {}), ("/api/generate", {"prompt": "Say hi."})):
        assert (
            ask(server, path, model="preset", _debug_render_only=True, **body)["_debug_info"][
                "rendered_template"
            ]
            == head + tail
        )
    own = ask(
        server,
        model="preset",
        messages=[{"role": "system", "content": "S"}, *HI],
        _debug_render_only=True,
    )["_debug_info"]["rendered_template"]
    assert "Be brief." not in own
    assert "<|im_start|>system\nS<|im_end|>" in own


def test_an_answer_can_be_gone_on_from(server: Server) -> None:
    first = ask(server, "/api/generate", prompt="one", options=GREEDY)
    second = ask(
        server, "/api/generate", prompt="two", context=first["context"], _debug_render_only=True
    )["_debug_info"]["rendered_template"]
    assert second.startswith(
        "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n" + first["response"]
    )
    assert second.endswith("<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n")


def test_a_gap_is_filled_between_its_own_tokens(server: Server) -> None:
    assert server.post("/api/show", {"model": "fim"}).json()["capabilities"] == [
        "completion",
        "insert",
    ]
    shown = ask(
        server,
        "/api/generate",
        model="fim",
        prompt="def f(",
        suffix="return",
        _debug_render_only=True,
    )
    assert (
        shown["_debug_info"]["rendered_template"]
        == "<|fim_prefix|>def f(<|fim_suffix|>return<|fim_middle|>"
    )
    count = ask(
        server, "/api/generate", model="fim", prompt="def f(", suffix="return", options=GREEDY
    )["prompt_eval_count"]
    with load_vocabulary(
        server.models
        / "blobs"
        / next(
            p.name for p in (server.models / "blobs").iterdir() if b"fim_prefix" in p.read_bytes()
        )
    ) as v:
        assert count == len(v.prompt_ids("<|fim_prefix|>def f(<|fim_suffix|>return<|fim_middle|>"))


def test_a_prompt_that_does_not_fit_is_refused(server: Server) -> None:
    """Never cut silently: 300 words do not fit into 256 tokens."""
    long = [{"role": "user", "content": "x y " * 300}]
    for stream in (True, False):
        answer = server.post(
            "/api/chat",
            {"model": "tiny", "messages": long, "stream": stream, "options": {"num_ctx": 256}},
        )
        assert answer.status_code == 400
        assert "tokens and the context holds 256" in answer.json()["error"]
    assert said(server, options=GREEDY)


# --- the answer -----------------------------------------------------------------------------------


def test_greedy_answers_are_those_of_transformers(server: Server, gguf: Path) -> None:
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    with load_vocabulary(gguf) as vocabulary:
        ids = vocabulary.prompt_ids(
            ask(server, _debug_render_only=True)["_debug_info"]["rendered_template"]
        )
        with torch.no_grad():
            for _ in range(GREEDY["num_predict"]):
                ids.append(int(reference(torch.tensor([ids])).logits[0, -1].argmax()))
    assert ask(server, "/api/generate", prompt="Say hi.", options=GREEDY)["context"] == ids
    assert len(set(ids[-GREEDY["num_predict"] :])) > 3, "a model that repeats itself proves little"


def test_an_answer_depends_on_its_question_alone(server: Server) -> None:
    first = said(server, options=GREEDY)
    for other in ("something else", "Say hi. And more."):
        said(server, messages=[{"role": "user", "content": other}])
    said(server, options={"temperature": 2, "seed": 5})
    assert said(server, options=GREEDY) == first


def test_streams_say_what_whole_answers_say(server: Server) -> None:
    whole = said(server, options=GREEDY)
    lines = [
        json.loads(line)
        for line in server.post(
            "/api/chat", {"model": "tiny", "messages": HI, "options": GREEDY}
        ).text.splitlines()
    ]
    assert "".join(line["message"]["content"] for line in lines) == whole
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert ask(server, "/api/generate", prompt="Say hi.", options=GREEDY)["response"] == whole
    for path, more in (
        ("/v1/chat/completions", {"messages": HI}),
        ("/v1/completions", {"prompt": "Say hi."}),
    ):
        body = {"model": "tiny", "temperature": 0, "max_tokens": 16, **more}
        choice = server.post(path, body).json()["choices"][0]
        assert (choice["message"]["content"] if "message" in choice else choice["text"]) == whole
        events = [
            e.removeprefix("data: ")
            for e in server.post(path, {**body, "stream": True}).text.split("\n\n")
            if e
        ]
        assert events[-1] == "[DONE]"
        choices = [json.loads(e)["choices"][0] for e in events[:-1]]
        assert (
            "".join(c["delta"].get("content", "") if "delta" in c else c["text"] for c in choices)
            == whole
        )


def test_seeds(server: Server) -> None:
    hot = {"temperature": 1.5, "num_predict": 24}
    same = [said(server, options={**hot, "seed": 7}) for _ in range(2)]
    assert same[0] == same[1]
    assert len({said(server, options={**hot, "seed": seed}) for seed in range(5)}) > 1
    assert len({said(server, options=hot) for _ in range(5)}) > 1


def test_options_shape_the_choice(server: Server) -> None:
    greedy = said(server, options=GREEDY)
    hot = {"temperature": 5, "seed": 3, "num_predict": 16}
    assert said(server, options={**hot, "top_k": 1}) == greedy
    assert said(server, options={**hot, "top_k": 0, "top_p": 0.0001}) == greedy
    assert said(server, options={**hot, "top_k": 0, "top_p": 1, "min_p": 1}) == greedy
    assert said(server, options={**hot, "top_k": 0, "top_p": 1}) != greedy
    assert said(server, options={**GREEDY, "repeat_penalty": 5.0}) != greedy
    assert ask(server, options={**GREEDY, "num_predict": 3})["eval_count"] == 3
    assert ask(server, options={**GREEDY, "num_predict": 0}).get("eval_count") is None


def test_a_models_own_options_give_way_to_the_requests(server: Server, gguf: Path) -> None:
    server.create("own", gguf, parameters={"temperature": 0, "num_predict": 5})
    assert ask(server, model="own")["eval_count"] == 5
    assert ask(server, model="own", options={"num_predict": 2})["eval_count"] == 2
    shown = server.post("/api/show", {"model": "own"}).json()["parameters"].splitlines()
    assert shown == [
        "num_predict                    5",
        'stop                           "<|im_start|>"',
        'stop                           "<|im_end|>"',
        "temperature                    0",
    ]


def test_stop_texts_are_cut_and_never_leak(server: Server) -> None:
    """A stop text may begin in one token and end in another; nothing of it is sent, also not in
    pieces.
    """
    options = {**GREEDY, "num_predict": 40}
    whole = said(server, options=options)
    for start, size in ((3, 1), (5, 4), (8, 7)):
        stop = whole[start : start + size]
        cut = whole[: whole.index(stop)]
        answer = ask(server, options={**options, "stop": ["never said", stop]})
        assert (answer["message"]["content"], answer["done_reason"]) == (cut, "stop")
        lines = server.post(
            "/api/chat", {"model": "tiny", "messages": HI, "options": {**options, "stop": [stop]}}
        ).text.splitlines()
        assert "".join(json.loads(line)["message"]["content"] for line in lines) == cut
    almost = whole[-3:] + "\x00"
    assert said(server, options={**options, "stop": [almost]}) == whole


def test_text_comes_in_whole_characters(server: Server) -> None:
    """At a high temperature this model speaks in single bytes: halves of characters must not be cut
    apart on the way.
    """
    body = {
        "model": "tiny",
        "messages": HI,
        "options": {"temperature": 3, "seed": 11, "num_predict": 200, "top_k": 0, "top_p": 1},
    }
    lines = [json.loads(line) for line in server.post("/api/chat", body).text.splitlines()]
    text = "".join(line["message"]["content"] for line in lines)
    assert text == said(server, **{k: v for k, v in body.items() if k != "model"})
    assert any(ord(c) > 127 for c in text)


def test_logprobs_are_the_models_own(server: Server, gguf: Path) -> None:
    """Against the likelihoods of score_sequences; the alternatives are sorted and are
    probabilities.
    """
    answer = ask(server, options={**GREEDY, "num_predict": 6}, logprobs=True, top_logprobs=4)
    rendered = ask(server, _debug_render_only=True)["_debug_info"]["rendered_template"]
    with load_vocabulary(gguf) as vocabulary:
        prompt = vocabulary.prompt_ids(rendered)
        target = ask(
            server, "/api/generate", prompt="Say hi.", options={**GREEDY, "num_predict": 6}
        )["context"][len(prompt) :]
        assert [bytes(one["bytes"]) for one in answer["logprobs"]] == vocabulary.pieces(target)
    (score,) = score_sequences(
        gguf, [(prompt, target, [True] * len(target))], context=1024, threads=1
    )
    assert sum(one["logprob"] for one in answer["logprobs"]) == pytest.approx(-score.nll, abs=0.02)
    for one in answer["logprobs"]:
        values = [other["logprob"] for other in one["top_logprobs"]]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert values[0] == one["logprob"]  # greedy
        assert sum(map(math.exp, values)) <= 1
    assert (
        server.post(
            "/api/chat", {"model": "tiny", "messages": HI, "logprobs": True, "top_logprobs": 21}
        ).status_code
        == 400
    )
    choice = server.post(
        "/v1/chat/completions",
        {"model": "tiny", "messages": HI, "max_tokens": 2, "logprobs": True, "top_logprobs": 1},
    ).json()["choices"][0]
    assert [len(one["top_logprobs"]) for one in choice["logprobs"]["content"]] == [1, 1]


SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "size": {"enum": ["small", "large"]}},
    "required": ["ok", "size"],
}


@pytest.mark.parametrize("seed", range(3))
def test_format_schema_holds_at_any_temperature(server: Server, seed: int) -> None:
    answer = json.loads(
        said(server, format=SCHEMA, options={"temperature": 2, "seed": seed, "num_predict": 200})
    )
    assert isinstance(answer["ok"], bool)
    assert answer["size"] in ("small", "large")


def test_format_json_begins_an_object(server: Server) -> None:
    text = said(server, format="json", options={"temperature": 1, "seed": 4, "num_predict": 60})
    assert text.lstrip().startswith("{")
    response = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    body = {"model": "tiny", "messages": HI, "response_format": response, "max_tokens": 200}
    assert set(
        json.loads(
            server.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]
        )
    ) == {"ok", "size"}


@pytest.mark.parametrize("form", ["xml", 3, {"type": "no such type"}, {"$ref": "#/nowhere"}])
def test_other_formats_are_refused(server: Server, form: Any) -> None:
    assert (
        server.post("/api/chat", {"model": "tiny", "messages": HI, "format": form}).status_code
        == 400
    )


def test_a_context_that_is_full_ends_the_answer(server: Server) -> None:
    answer = ask(
        server,
        options={"num_ctx": 256, "temperature": 3, "seed": 1, "top_k": 0, "top_p": 1, "stop": []},
    )
    assert answer["done_reason"] in ("length", "stop")
    full = ask(
        server,
        format={"type": "array", "items": {"const": "x"}, "minItems": 1000},
        options={"num_ctx": 256, "temperature": 0},
    )
    assert full["done_reason"] == "length"
    assert (
        full["prompt_eval_count"] + full["eval_count"] == 257
    )  # the last token is said without room to read it
