"""Whether a server answers as Ollama does.

Every exchange that was recorded from a real Ollama is played against the embedded engine, and
against a real Ollama if one is on PATH. Compared are status, content type, keys and their order,
lines per chunk and error texts, but never words, times or ids. What Ollama does and the engine
refuses is listed in `OWN_WORDS`, and checked to be a refusal that names the reason.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_server import Exchange, Server, exchange, running_engine, running_ollama
from tests.support.tiny_models import write_tiny_model

RECORDINGS = Path(__file__).parent.parent / "support" / "recordings"
NORM = json.loads((RECORDINGS / "0.33.0-rc2.json").read_text(encoding="utf-8"))["exchanges"]
RECORDED_DIGEST = next(
    e["request"]["path"].rsplit(":", 1)[1] for e in NORM if e["name"] == "blob post"
)

OWN_WORDS = {
    "create bad template": (
        200,
        "chat template",
    ),  # like Ollama's, it comes when the stream has begun
    "create adapter probe": (400, "adapter"),
    "create quantize a quantised file": (400, "quantise"),
    "chat images unsupported": (400, "images"),
    "generate template": (400, "chat template"),
    "generate bad template": (400, "chat template"),
    "embed": (501, "embeddings"),
    "embeddings": (500, "embeddings"),
    "v1 embeddings": (501, "embeddings"),
    **{f"v1 responses {way}": (501, "/v1/responses") for way in ("stream", "whole")},
    **{
        f"v1 messages {more}{way}": (501, "/v1/messages")
        for more in ("", "absent model ")
        for way in ("stream", "whole")
    },
}
"""What the engine refuses in its own words: exchange -> (status, a word of the reason)."""

FREE_TEXTS = {
    "content",
    "response",
    "text",
    "token",
    "created_at",
    "modified_at",
    "expires_at",
    "id",
    "version",
    "modelfile",
    "template",
    "parameters",
}
FREE_TEXTS |= {
    "digest",
    "parameter_size",
    "quantization_level",
    "source",
    "name",
    "shape",
    "type",
    "request_id",
    "item_id",
}
ENDINGS = {"stop", "length"}


@pytest.fixture(scope="module", params=["engine", "ollama"])
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, Exchange]]]:
    """The answers to every exchange of the norm, played in order against one server."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "ollama" and shutil.which("ollama") is None:
        pytest.skip("NO REAL OLLAMA ON PATH: conformance was checked for the embedded engine only")
    gguf = write_tiny_model(directory / "tiny.gguf", seed=1)
    with (running_engine if request.param == "engine" else running_ollama)(directory) as server:
        yield request.param, {e["name"]: _play(server, e, gguf, request.param) for e in NORM}


def _play(server: Server, recorded: dict[str, Any], gguf: Path, kind: str) -> Exchange:
    digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
    asked = recorded["request"]
    body = asked["body"]
    if recorded["name"] == "create full" and kind == "engine":
        body = {
            key: value for key, value in body.items() if key != "template"
        }  # what follows needs this model
    raw = body if body is None or isinstance(body, str) else json.dumps(body)
    if isinstance(raw, str) and raw.startswith("<"):
        content: bytes | None = gguf.read_bytes()
    else:
        content = None if raw is None else raw.replace(RECORDED_DIGEST, digest).encode()
    return exchange(
        server.url,
        asked["method"],
        asked["path"].replace(RECORDED_DIGEST, digest),
        content,
        asked["headers"],
    )


@pytest.mark.parametrize("recorded", NORM, ids=[e["name"] for e in NORM])
def test_answers_as_recorded(
    answers: tuple[str, dict[str, Exchange]], recorded: dict[str, Any]
) -> None:
    kind, all_answers = answers
    name, got, norm = recorded["name"], all_answers[recorded["name"]], _recorded(recorded)
    if kind == "engine" and name in OWN_WORDS:
        status, word = OWN_WORDS[name]
        assert (got.status, word in _message(got.text)) == (status, True), got
        assert got.header("Content-Type") in (
            "application/json",
            "application/json; charset=utf-8",
            "application/x-ndjson",
        )
        return
    if kind == "engine" and name == "blob head after delete":
        assert (
            got.status == 404
        )  # the uploaded file is the model's own blob (as in 0.24), not a copy that stays behind
        return
    assert got.status == norm.status
    assert got.header("Content-Type") == norm.header("Content-Type")
    for header in (
        "Allow",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
        "Access-Control-Max-Age",
    ):
        assert got.header(header) == norm.header(header), header
    assert _shapes(got, recorded) == _shapes(norm, recorded)


def _recorded(recorded: dict[str, Any]) -> Exchange:
    status = int(recorded["status"].split()[1])
    return Exchange(
        status,
        [tuple(pair) for pair in recorded["headers"]],
        recorded.get("chunks"),
        recorded.get("body", ""),
    )


def _message(text: str) -> str:
    """The text of an error in any of the three forms."""
    error = json.loads(text.strip().split("\n")[-1])["error"]
    return str(error if isinstance(error, str) else error["message"])


def _shapes(got: Exchange, recorded: dict[str, Any]) -> list[Any]:
    """What must be equal: the shape of each line of a stream (equal neighbours once), or that of
    the one answer.
    """
    kind = got.header("Content-Type") or ""
    if kind == "application/x-ndjson":
        assert got.chunks is not None
        assert all(chunk.count("\n") == 1 and chunk.endswith("\n") for chunk in got.chunks), (
            "one line a chunk"
        )
        shapes = [_shape(json.loads(chunk), recorded) for chunk in got.chunks]
        return _once(
            shape for shape in shapes if shape != [("status", "template")]
        )  # the engine's template is never detected: it is the file's
    if kind == "text/event-stream":
        assert got.chunks is not None
        assert all(chunk.endswith("\n\n") for chunk in got.chunks)
        lines = [
            line
            for chunk in got.chunks
            for event in chunk.split("\n\n")
            if event
            for line in event.split("\n")
        ]
        events = [line.removeprefix("data: ") for line in lines if not line.startswith("event: ")]
        together = [chunk.count("data: ") for chunk in got.chunks[-1:]]
        return [
            *_once(
                event if event == "[DONE]" else _shape(json.loads(event), recorded)
                for event in events
            ),
            together,
        ]
    if kind.startswith("application/json"):
        return [_shape(json.loads(got.text), recorded) if got.text else "", got.text.endswith("\n")]
    return [got.text]


def _once(shapes: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for shape in shapes:
        if kept[-1:] != [shape]:
            kept.append(shape)
    return kept


def _shape(value: Any, recorded: dict[str, Any], key: str = "") -> Any:
    if key == "model_info":
        return "general.architecture" in value and list(value) == sorted(
            value
        )  # its keys are the file's
    if (
        key == "parent_model"
        or key in FREE_TEXTS
        or (key == "model" and recorded["name"].startswith("tags"))
    ):
        return type(value).__name__
    if key == "delta" and isinstance(value, str):
        return "text"
    if key == "status":
        return "layer" if "layer" in value else "template" if "template" in value else value
    if key == "rendered_template":
        return (
            value if "preset" not in recorded["name"] else "text"
        )  # preset messages: Ollama writes the system text twice
    if key in ("done_reason", "finish_reason") and value in ENDINGS:
        return "ended"
    if key == "error" and isinstance(value, str) and value.startswith("open "):
        return value.split()[0], value.split("blobs/")[-1]
    if isinstance(value, dict):
        return [(name, _shape(item, recorded, name)) for name, item in value.items()]
    if isinstance(value, list):
        return [_shape(item, recorded, key) for item in value[:1]]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return "number"


def test_every_refusal_is_in_the_norm() -> None:
    assert set(OWN_WORDS) <= {e["name"] for e in NORM}
