"""The engine's requests: wrong ones are named, and many at the same time do not mix."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest

from qi_learn.outside.llama_cpp import Model
from tests.support.engine_questions import GREEDY, HI, ask, said
from tests.support.engine_server import Server
from tests.support.tiny_models import write_tiny_model

# --- requests that are wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"options": {"temperature": "hot"}}, 500, 'option "temperature" must be of type float32'),
        ({"options": {"num_predict": True}}, 500, 'option "num_predict" must be of type integer'),
        ({"options": {"stop": "x"}}, 500, 'option "stop" must be of type array'),
        (
            {"options": []},
            400,
            "json: cannot unmarshal array into Go struct field ChatRequest.options of type "
            "map[string]interface {}",
        ),
        ({"messages": ["hi"]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "content"),
        (
            {
                "messages": [
                    {"role": "user", "content": "x", "images": [base64.b64encode(b"x").decode()]}
                ]
            },
            400,
            "images",
        ),
        ({"keep_alive": "soon"}, 400, "invalid duration"),
        ({"stream": "yes"}, 400, "ChatRequest.stream of type bool"),
    ],
)
def test_wrong_requests_are_named(
    server: Server, body: dict[str, Any], status: int, words: str
) -> None:
    answer = server.post("/api/chat", {"model": "tiny", "messages": HI, **body})
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_lists_of_text_parts_are_read_and_images_refused(server: Server) -> None:
    """As Ollama reads them: each part is a message of its own, and /api/chat takes none."""
    texts = ["<task>rename it</task>", "<environment_details>none</environment_details>"]
    body = {"model": "tiny", "temperature": 0, "max_tokens": 16}
    parts = [{"type": "text", "text": text} for text in texts]
    answer = server.post(
        "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": parts}]}
    ).json()
    apart = [{"role": "user", "content": text} for text in texts]
    same = ask(server, messages=apart, options=GREEDY)
    assert answer["usage"]["prompt_tokens"] == same["prompt_eval_count"]
    assert answer["choices"][0]["message"]["content"] == same["message"]["content"]
    native = {"model": "tiny", "messages": [{"role": "user", "content": parts}]}
    assert server.post("/api/chat", native).status_code == 400
    image = [{"type": "image_url", "image_url": {"url": "data:"}}]
    refused = server.post(
        "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": image}]}
    )
    assert (refused.status_code, "text only" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception('no such role') }}",
        "{% for x in %}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_templates_run_in_a_sandbox(server: Server, tmp_path: Path, template: str) -> None:
    server.create("evil", write_tiny_model(tmp_path / "evil.gguf", template=template))
    answer = server.post("/api/chat", {"model": "evil", "messages": HI})
    assert answer.status_code == 500
    assert "template error" in answer.json()["error"]


def test_a_model_without_template_is_asked_raw(server: Server, tmp_path: Path) -> None:
    server.create("bare", write_tiny_model(tmp_path / "bare.gguf", template=None))
    assert (
        "no chat template"
        in server.post("/api/chat", {"model": "bare", "messages": HI}).json()["error"]
    )
    assert (
        ask(server, "/api/generate", model="bare", prompt="x", raw=True, options=GREEDY)[
            "eval_count"
        ]
        > 0
    )


def test_broken_weights_are_said(server: Server, tmp_path: Path) -> None:
    import gguf as gguf_package
    import numpy as np

    path = write_tiny_model(tmp_path / "nan.gguf", seed=9)
    reader = gguf_package.GGUFReader(path, "r+")
    next(t for t in reader.tensors if t.name == "output_norm.weight").data[:] = np.nan
    reader.data.flush()
    server.create("nan", path)
    for stream in (True, False):
        answer = server.post("/api/chat", {"model": "nan", "messages": HI, "stream": stream})
        assert (answer.status_code, "not a number" in answer.text) == (500, True)


# --- many clients ---------------------------------------------------------------------------------


def test_questions_at_the_same_time_queue_and_do_not_mix(server: Server) -> None:
    questions = [
        ("tiny" if n % 2 else "fim", [{"role": "user", "content": f"Question {n}"}])
        for n in range(8)
    ]

    def answer(question: tuple[str, list[dict[str, str]]]) -> str:
        return said(server, model=question[0], messages=question[1], options=GREEDY)

    alone = [answer(q) for q in questions]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answer, questions))
    assert together == alone
    assert len(set(alone)) > 1


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_stops_the_answer(server: Server, gguf: Path, stream: bool) -> None:
    """The engine says in its log how far it got: not to the end."""
    log = server.models.parent / "engine.log"
    before = log.read_text().count("broken off")
    endless = {
        "format": {"type": "array", "items": {"const": "x"}, "minItems": 9999},
        "options": {"num_ctx": 8192, "temperature": 0, "stop": []},
    }
    body = json.dumps({"model": "tiny", "messages": HI, "stream": stream, **endless})
    at = httpx.URL(server.url)
    with socket.create_connection((at.host, at.port or 80)) as link:
        head = f"POST /api/chat HTTP/1.1\r\nHost: {at.netloc.decode()}"
        link.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        if stream:
            assert link.recv(100)
        else:
            while not any(
                m["context_length"] == 8192 for m in server.get("/api/ps").json()["models"]
            ):
                time.sleep(0.01)
    while log.read_text().count("broken off") == before:
        time.sleep(0.02)
    assert said(server, options=GREEDY)


def test_the_real_client_is_at_home(server: Server, gguf: Path) -> None:
    """ollama-python, as users have it: create, list, show, chat, stream, running, copy, delete."""
    with ollama.Client(host=server.url) as client:
        digest = client.create_blob(gguf)
        assert (
            client.create(
                model="by-client", files={"m.gguf": digest}, parameters={"temperature": 0.0}
            ).status
            == "success"
        )
        assert "by-client:latest" in [m.model for m in client.list().models]
        shown = client.show("by-client")
        assert (shown.details.family if shown.details else None) == "llama"
        whole = client.chat(model="by-client", messages=HI, options={"num_predict": 8})
        parts = list(
            client.chat(model="by-client", messages=HI, options={"num_predict": 8}, stream=True)
        )
        assert "".join(p.message.content or "" for p in parts) == whole.message.content
        assert (
            client.generate(
                model="by-client", prompt="Say hi.", options={"num_predict": 8}
            ).response
            == whole.message.content
        )
        assert "by-client:latest" in [m.model for m in client.ps().models]
        assert client.copy("by-client", "again").status == "success"
        assert client.delete("by-client").status == "success"
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.chat(model="by-client", messages=HI)
        assert client.delete("again").status == "success"


def test_generation_is_the_models_next_token(gguf: Path) -> None:
    """The evaluation behind it, token by token, gives the logits of one evaluation of the whole
    text.
    """
    import numpy as np

    ids = list(range(20, 60))
    with Model(gguf, context=256, threads=1) as model:
        model.evaluate(ids, range(40), [0] * 40, [True] * 40)
        whole = np.array([model.logits(i) for i in range(40)])
        model.forget()
        for position, token in enumerate(ids):
            model.evaluate([token], [position], [0], [True])
            assert np.abs(model.logits(-1) - whole[position]).max() < 0.05
