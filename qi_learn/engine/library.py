"""The routes about the models in the store: lists, running models, copy and delete.

Nothing here generates text. One model in full: show.py.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from qi_learn.engine.blobs import full_or_failed
from qi_learn.engine.lookup import NAMED, asked_name, details, engine_of, find_model, read_config
from qi_learn.engine.model_store import Manifest, ModelStore
from qi_learn.engine.replies import read_body, reply, reply_v1, stamp_text
from qi_learn.errors import NotFound, ServerError
from qi_learn.outside.ollama_names import read_name


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


async def copy(request: web.Request) -> web.Response:
    """POST /api/copy: another name for the same model.

    It is renamed into place, so that no reader ever misses the destination.
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
