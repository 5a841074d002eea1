"""HEAD and POST /api/blobs/DIGEST: files that models are made from, and what a full disk means."""

from __future__ import annotations

import errno
import shutil

from aiohttp import web

from qi_learn.engine.lookup import engine_of
from qi_learn.engine.model_store import ModelStore, parse_digest
from qi_learn.errors import DiskFull, ServerError, StoreError


def _asked_digest(request: web.Request) -> str:
    digest = parse_digest(request.match_info["digest"])
    if digest is None:
        raise ServerError("invalid digest format", status=400)
    return digest


async def blob_head(request: web.Request) -> web.Response:
    """HEAD /api/blobs/DIGEST: 200 if the store has it."""
    digest = _asked_digest(request)
    if not engine_of(request).store.blob(digest).is_file():
        raise ServerError(f'blob "{request.match_info["digest"]}" not found', status=404)
    return web.Response()


async def blob_post(request: web.Request) -> web.Response:
    """POST /api/blobs/DIGEST: store what is sent.

    201 once it is stored, 200 if it was there, 400 if the bytes are not what the digest says.
    """
    store, digest = engine_of(request).store, _asked_digest(request)
    if store.blob(digest).is_file():
        return web.Response()
    if request.content_length and request.content_length > shutil.disk_usage(store.blobs).free:
        raise _no_room(store, request.content_length)
    try:
        received = await store.receive(digest, request.content.iter_chunked(1 << 20))
    except OSError as error:
        raise full_or_failed(error, store, request.content_length or 0) from error
    if received != digest:
        raise ServerError(
            f'digest mismatch, expected "sha256:{digest}", got "sha256:{received}"', status=400
        )
    return web.Response(status=201)


def full_or_failed(error: OSError, store: ModelStore, needed: int) -> DiskFull | StoreError:
    """The error for a failed write: how much room is missing, or the system's reason."""
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
