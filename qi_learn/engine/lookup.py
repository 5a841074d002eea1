"""What every route needs: the parts of the engine, and the model that a request names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from qi_learn.engine.answer_parts import thought_marks
from qi_learn.engine.model_store import Manifest, ModelStore
from qi_learn.engine.models import LoadedModels
from qi_learn.errors import ModelError, NotFound, ServerError, StoreError
from qi_learn.outside.chat_template import variables_of
from qi_learn.outside.gguf import GgufFile, read_head
from qi_learn.outside.ollama_names import ModelName, read_name
from qi_learn.outside.peer import ClientWatch

NAMED = {"model": (str, "string"), "name": (str, "string")}


@dataclass(frozen=True, slots=True)
class Engine:
    """What every route needs."""

    store: ModelStore
    models: LoadedModels
    clients: ClientWatch = field(default_factory=ClientWatch)


ENGINE = web.AppKey("engine", Engine)


def engine_of(request: web.Request) -> Engine:
    return request.app[ENGINE]


def asked_name(
    body: Mapping[str, Any], *, required: str = "model is required"
) -> tuple[str, ModelName]:
    """The model that a body names: as it is written, and complete. Raises ServerError (400)."""
    text = str(body.get("model") or body.get("name") or "")
    if not text:
        raise ServerError(required, status=400)
    name = read_name(text)
    if name is None:
        raise ServerError("invalid model name", status=400)
    return text, name


def find_model(engine: Engine, text: str, name: ModelName) -> Manifest:
    """The model of this name. Raises ServerError (404), with the name as it was asked for."""
    try:
        return engine.store.find(name)
    except NotFound as error:
        raise ServerError(f"model '{text}' not found", status=404) from error


def read_config(store: ModelStore, manifest: Manifest) -> Mapping[str, Any]:
    """What was known of the model when it was made.

    Empty if that blob is gone, so that one damaged model hides no other.
    """
    try:
        config = store.read_json(manifest.config)
    except StoreError:
        return {}
    return config if isinstance(config, dict) else {}


def abilities(engine: Engine, manifest: Manifest) -> frozenset[str]:
    """What the model's chat template can: `tools`, `thinking`. Empty if its file is gone."""
    path = engine.store.blob(manifest.weights.digest)
    return _abilities_of(path) if path.is_file() else frozenset()


@functools.lru_cache(maxsize=64)
def _abilities_of(path: Path) -> frozenset[str]:
    """A blob never changes, so its head is read once."""
    template = read_blob_head(path).keys.get("tokenizer.chat_template")
    return template_abilities(template if isinstance(template, str) else "")


def template_abilities(template: str) -> frozenset[str]:
    """What a chat template can, by the variables it asks for and the marks it writes."""
    asked = variables_of(template)
    thinks = "enable_thinking" in asked or thought_marks(template) is not None
    found = {"tools": "tools" in asked, "thinking": thinks}
    return frozenset(name for name, there in found.items() if there)


def details(config: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """The model in a few words, as /api/tags, /api/ps and /api/show have it."""
    return {
        "parent_model": next((layer.source for layer in manifest.of_kind("model")), ""),
        "format": config.get("model_format", ""),
        "family": config.get("model_family", ""),
        "families": config.get("model_families"),
        "parameter_size": config.get("model_type", ""),
        "quantization_level": config.get("file_type", ""),
    }


def parameters_of(store: ModelStore, manifest: Manifest) -> dict[str, Any]:
    """The model's own options."""
    merged: dict[str, Any] = {}
    for layer in manifest.of_kind("params"):
        merged |= store.read_json(layer)
    return merged


def preset_messages(store: ModelStore, manifest: Manifest) -> list[dict[str, Any]]:
    """Messages that the model puts in front of every conversation."""
    return [message for layer in manifest.of_kind("messages") for message in store.read_json(layer)]


def read_blob_head(path: Path) -> GgufFile:
    """The head of an uploaded GGUF.

    Raises ModelError for one that is damaged, or whose texts are no UTF-8, in words for the client:
    it knows the file that it sent, not its place in the store.
    """
    try:
        head = read_head(path)
    except ModelError as error:
        what = error.what.replace(str(path), "the file")
        raise ModelError(what, "upload the file again") from error
    texts = (*head.keys, *(value for value in head.keys.values() if isinstance(value, str)))
    if any("\ufffd" in text for text in texts):  # what the reader puts in the place of such bytes
        raise ModelError("the file is damaged: a text of its head is no UTF-8", "upload it again")
    return head
