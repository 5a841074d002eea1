"""The engine's answers about models: list, show, running, copy, delete, blobs.

Nothing here generates text.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from qi_learn.engine.model_store import Manifest, ModelStore, parse_digest
from qi_learn.engine.models import LoadedModels
from qi_learn.engine.replies import read_body, reply, reply_v1, stamp_text
from qi_learn.errors import DiskFull, NotFound, ServerError, StoreError
from qi_learn.outside.gguf import Array, GgufFile, read_head
from qi_learn.outside.ollama_names import ModelName, read_name

NAMED = {"model": (str, "string"), "name": (str, "string")}


@dataclass(frozen=True, slots=True)
class Engine:
    """What every route needs."""

    store: ModelStore
    models: LoadedModels


ENGINE = web.AppKey("engine", Engine)


def engine_of(request: web.Request) -> Engine:
    return request.app[ENGINE]


def asked_name(
    body: Mapping[str, Any], *, required: str = "model is required"
) -> tuple[str, ModelName]:
    """The model named in a body: as it was written, and complete. Raises ServerError (400)."""
    text = str(body.get("model") or body.get("name") or "")
    if not text:
        raise ServerError(required, status=400)
    name = read_name(text)
    if name is None:
        raise ServerError("invalid model name", status=400)
    return text, name


def find_model(engine: Engine, text: str, name: ModelName) -> Manifest:
    """The model, or 404 with the name as it was asked for."""
    try:
        return engine.store.find(name)
    except NotFound as error:
        raise ServerError(f"model '{text}' not found", status=404) from error


# --- lists ----------------------------------------------------------------------------------------


async def tags(request: web.Request) -> web.Response:
    """GET /api/tags."""
    engine = engine_of(request)
    return reply({"models": [_tag(engine.store, manifest) for manifest in engine.store.list()]})


def _tag(store: ModelStore, manifest: Manifest) -> dict[str, Any]:
    config = read_config(store, manifest)
    more = {key: config[key] for key in ("context_length", "embedding_length") if config.get(key)}
    name = str(manifest.name)
    return {
        "name": name,
        "model": name,
        "modified_at": stamp_text(int(manifest.modified * 1e9)),
        "size": manifest.size,
        "digest": manifest.digest,
        "details": details(config, manifest) | more,
        "capabilities": config.get("capabilities", ["completion"]),
    }


def read_config(store: ModelStore, manifest: Manifest) -> Mapping[str, Any]:
    """What was known of the model when it was made; nothing where that blob is gone, so that one
    damaged model hides no other.
    """
    try:
        config = store.read_json(manifest.config)
    except StoreError:
        return {}
    return config if isinstance(config, dict) else {}


def details(config: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """The model in a few words, as /api/tags, ps and show have it."""
    return {
        "parent_model": next((layer.source for layer in manifest.of_kind("model")), ""),
        "format": config.get("model_format", ""),
        "family": config.get("model_family", ""),
        "families": config.get("model_families"),
        "parameter_size": config.get("model_type", ""),
        "quantization_level": config.get("file_type", ""),
    }


async def running(request: web.Request) -> web.Response:
    """GET /api/ps."""
    engine = engine_of(request)
    now = engine.models.clock()
    listed = []
    for loaded in engine.models.list():
        left = min(loaded.expires - now, 100 * 365 * 86400.0)  # "forever" as a date
        listed.append(
            {
                "name": str(loaded.manifest.name),
                "model": str(loaded.manifest.name),
                "size": loaded.model.bytes,
                "digest": loaded.manifest.digest,
                "details": details(read_config(engine.store, loaded.manifest), loaded.manifest),
                "expires_at": stamp_text(time.time_ns() + int(max(left, 0.0) * 1e9)),
                "size_vram": 0,
                "context_length": loaded.model.context,
            }
        )
    return reply({"models": listed})


async def v1_models(request: web.Request) -> web.Response:
    """GET /v1/models."""
    listed = [
        _v1_model(str(manifest.name), manifest) for manifest in engine_of(request).store.list()
    ]
    return reply_v1({"object": "list", "data": listed or None})


async def v1_model(request: web.Request) -> web.Response:
    """GET /v1/models/NAME."""
    text = request.match_info["name"]
    name = read_name(text)
    if name is None:
        raise ServerError("invalid model name", status=400)
    return reply_v1(_v1_model(text, find_model(engine_of(request), str(name), name)))


def _v1_model(name: str, manifest: Manifest) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(manifest.modified),
        "owned_by": manifest.name.namespace,
    }


# --- one model ------------------------------------------------------------------------------------


async def show(request: web.Request) -> web.Response:
    """POST /api/show."""
    engine = engine_of(request)
    body = await read_body(request, "ShowRequest", NAMED)
    _, name = asked_name(body)
    manifest = find_model(engine, str(name), name)
    path = engine.store.blob(manifest.weights.digest)
    if not path.is_file():
        raise StoreError(
            f"blob sha256:{manifest.weights.digest} of model '{name}' is missing from the store",
            "create the model again",
        )
    head = await asyncio.to_thread(read_head, path)
    return reply(_shown(engine.store, manifest, head))


def _shown(store: ModelStore, manifest: Manifest, head: GgufFile) -> dict[str, Any]:
    config = read_config(store, manifest)
    licenses = [store.read_text(layer) for layer in manifest.of_kind("license")]
    system = "".join(store.read_text(layer) for layer in manifest.of_kind("system"))
    messages = preset_messages(store, manifest)
    parameters = [
        f"{key:<30} {_go_value(item)}"
        for key, value in sorted(parameters_of(store, manifest).items())
        for item in _items(value)
    ]
    keys = {
        key: None if isinstance(value, Array) else value for key, value in head.keys.items()
    }  # as Ollama: an array is named, not shown
    info = {
        key: value
        for key, value in keys.items()
        if key not in ("general.name", "tokenizer.chat_template")
    }
    shown: dict[str, Any] = {
        "license": "\n".join(licenses),
        "modelfile": _modelfile(store, manifest, system, messages, licenses),
        "parameters": "\n".join(parameters),
        "template": keys.get("tokenizer.chat_template", ""),
        "system": system,
        "details": details(config, manifest),
        "messages": messages,
        "model_info": dict(sorted((info | {"general.parameter_count": head.parameters}).items())),
        "tensors": [
            {"name": t.name, "type": t.type, "shape": list(t.shape)} for t in head.tensors.values()
        ],
        "capabilities": config.get("capabilities", ["completion"]),
        "modified_at": stamp_text(int(manifest.modified * 1e9)),
    }
    return {key: value for key, value in shown.items() if value not in ("", [])}


def parameters_of(store: ModelStore, manifest: Manifest) -> dict[str, Any]:
    """The model's own options."""
    merged: dict[str, Any] = {}
    for layer in manifest.of_kind("params"):
        merged |= store.read_json(layer)
    return merged


def preset_messages(store: ModelStore, manifest: Manifest) -> list[dict[str, Any]]:
    """Messages that the model puts in front of every conversation."""
    return [message for layer in manifest.of_kind("messages") for message in store.read_json(layer)]


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _go_value(value: Any) -> str:
    """A value as Go's %#v writes it."""
    return json.dumps(value, ensure_ascii=False)


def _modelfile(
    store: ModelStore,
    manifest: Manifest,
    system: str,
    messages: list[dict[str, Any]],
    licenses: list[str],
) -> str:
    """The model as a Modelfile.

    It has no TEMPLATE: the GGUF carries its own, and a Modelfile's would be Go's.
    """
    lines = [
        '# Modelfile generated by "qi-learn"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {manifest.name}",
        "",
        f"FROM {store.blob(manifest.weights.digest)}",
        *([f"SYSTEM {_quoted(system)}"] if system else []),
        *(
            f"PARAMETER {key} {_quoted(str(item))}"
            for key, value in sorted(parameters_of(store, manifest).items())
            for item in _items(value)
        ),
        *(f"LICENSE {_quoted(text)}" for text in licenses),
        *(
            f"MESSAGE {message.get('role', '')} {_quoted(str(message.get('content', '')))}"
            for message in messages
        ),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A Modelfile's string: bare where it is plain, between three quotes where it is not."""
    if text.strip() == text and "\n" not in text and '"' not in text:
        return text
    return f'"""{text}"""'


async def copy(request: web.Request) -> web.Response:
    """POST /api/copy: another name for the same model, renamed into place, so that no reader ever
    misses the destination.
    """
    engine = engine_of(request)
    body = await read_body(
        request, "CopyRequest", {"source": (str, "string"), "destination": (str, "string")}
    )
    names = []
    for field in ("source", "destination"):
        text = str(body.get(field, ""))
        name = read_name(text)
        if name is None:
            raise ServerError(f'{field} "{text}" is invalid', status=400)
        names.append(name)
    try:
        await asyncio.to_thread(engine.store.copy, *names)
    except NotFound as error:
        raise ServerError(f'model "{body["source"]}" not found', status=404) from error
    except OSError as error:
        raise full_or_failed(error, engine.store, 0) from error
    return web.Response()


async def delete(request: web.Request) -> web.Response:
    """DELETE /api/delete."""
    engine = engine_of(request)
    text, name = asked_name(await read_body(request, "DeleteRequest", NAMED))
    manifest = find_model(engine, text, name)
    await asyncio.to_thread(engine.store.delete, manifest.name)
    return web.Response()


# --- blobs ----------------------------------------------------------------------------------------


def _asked_digest(request: web.Request) -> str:
    digest = parse_digest(request.match_info["digest"])
    if digest is None:
        raise ServerError("invalid digest format", status=400)
    return digest


async def blob_head(request: web.Request) -> web.Response:
    """HEAD /api/blobs/DIGEST: is it there?"""
    digest = _asked_digest(request)
    if not engine_of(request).store.blob(digest).is_file():
        raise ServerError(f'blob "{request.match_info["digest"]}" not found', status=404)
    return web.Response()


async def blob_post(request: web.Request) -> web.Response:
    """POST /api/blobs/DIGEST: 201 when stored, 200 when it was there, 400 when the bytes are not
    what the digest says.
    """
    store, digest = engine_of(request).store, _asked_digest(request)
    if store.blob(digest).is_file():
        return web.Response()
    if request.content_length and request.content_length > shutil.disk_usage(store.blobs).free:
        raise _no_room(store, request.content_length)
    try:
        found = await store.receive(digest, request.content.iter_chunked(1 << 20))
    except OSError as error:
        raise full_or_failed(error, store, request.content_length or 0) from error
    if found != digest:
        raise ServerError(
            f'digest mismatch, expected "sha256:{digest}", got "sha256:{found}"', status=400
        )
    return web.Response(status=201)


def full_or_failed(error: OSError, store: ModelStore, needed: int) -> DiskFull | StoreError:
    """A failed write in words: how much room is missing, or what the system said."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _no_room(store, needed)
    return StoreError(
        f"the model store {store.root} cannot be written: {error.strerror or error}",
        "check the directory's permissions and disk",
    )


def _no_room(store: ModelStore, needed: int) -> DiskFull:
    missing = needed - shutil.disk_usage(store.blobs).free
    amount = (
        f"{missing:,} bytes are missing"
        if missing > 0
        else "the disk, or what this user may write, is full"
    )
    return DiskFull(
        f"no room for the model below {store.root}: {amount}", "free some space and try again"
    )


_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def keep_alive_seconds(value: Any) -> float | None:
    """`keep_alive` in seconds: a number, or Go's "10m", "1h30m"; below 0: for ever; None: not said.

    Raises ServerError (400).
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float("inf") if value < 0 else float(value)
    text = value.removeprefix("-") if isinstance(value, str) else ""
    if text != "0" and (not text or _DURATION.sub("", text)):
        raise ServerError(f'time: invalid duration "{value}"', status=400)
    return (
        float("inf")
        if value.startswith("-")
        else sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))
    )
