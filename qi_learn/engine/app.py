"""The engine's routes, and who may use them.

Only requests to a loopback name are answered (a web page that resolves its own name to 127.0.0.1
has another Host), and requests of web pages only if the page is local (Origin). Every error below
leaves here as Ollama would write it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from qi_learn import __version__
from qi_learn.engine.blobs import blob_head, blob_post
from qi_learn.engine.chat import chat, generate_text, v1_chat, v1_completions
from qi_learn.engine.create import create
from qi_learn.engine.library import copy, delete, running, tags, v1_model, v1_models
from qi_learn.engine.lookup import ENGINE, Engine
from qi_learn.engine.replies import reply, reply_error
from qi_learn.engine.show import show
from qi_learn.errors import QiError, ServerError
from qi_learn.loopback import is_local_host, is_local_origin
from qi_learn.outside.llama_cpp_library import build_of_library

logger = logging.getLogger(__name__)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

VERSION = f"0.33.0-qi-learn.{__version__}"
"""The version of Ollama whose API this is, and the engine that speaks it."""
BUILD = "/qi-learn/build"
_LARGEST_BODY = 64 * 1024 * 1024
_CORS_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_CORS_HEADERS = (
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
    "X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    "X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
    "X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
    "X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout"
)


def build_app(engine: Engine) -> web.Application:
    """The engine as an aiohttp application."""
    app = web.Application(middlewares=[_guard, _translate], client_max_size=_LARGEST_BODY)
    app[ENGINE] = engine
    app.on_response_prepare.append(_finish_headers)
    app.add_routes(
        [
            web.get("/", _root),
            web.get("/api/version", _version),
            web.get("/api/status", _status, allow_head=False),
            web.get(BUILD, _build, allow_head=False),
            web.get("/api/tags", tags),
            web.get("/api/ps", running, allow_head=False),
            web.post("/api/show", show),
            web.post("/api/create", create),
            web.post("/api/copy", copy),
            web.delete("/api/delete", delete),
            web.head("/api/blobs/{digest}", blob_head),
            web.post("/api/blobs/{digest}", blob_post),
            web.post("/api/chat", chat),
            web.post("/api/generate", generate_text),
            web.post("/v1/chat/completions", v1_chat),
            web.post("/v1/completions", v1_completions),
            web.get("/v1/models", v1_models, allow_head=False),
            web.get("/v1/models/{name:.+}", v1_model, allow_head=False),
            *(web.post(path, _refusal(status, text)) for path, (status, text) in REFUSED.items()),
        ]
    )
    return app


_NO_EMBEDDINGS = "the embedded engine gives no embeddings; use Ollama for them"
_NO_PULL = (
    "the embedded engine fetches nothing from the network; upload a GGUF (/api/blobs) and create "
    "the model from it"
)
REFUSED = {
    "/api/embed": (501, _NO_EMBEDDINGS),
    "/api/embeddings": (500, _NO_EMBEDDINGS),
    "/v1/embeddings": (501, _NO_EMBEDDINGS),
    "/api/pull": (501, _NO_PULL),
    "/api/push": (501, "the embedded engine sends nothing to the network"),
    "/v1/responses": (
        501,
        "the embedded engine does not speak /v1/responses; use /v1/chat/completions",
    ),
    "/v1/messages": (
        501,
        "the embedded engine does not speak /v1/messages; use /v1/chat/completions",
    ),
}
"""What Ollama answers and this engine does not, with status and reason."""


def _refusal(status: int, text: str) -> Answer:
    """A route that only refuses."""

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise ServerError(text, status=status)

    return refuse


async def _root(_request: web.Request) -> web.Response:
    return web.Response(text="Ollama is running")  # clients look for these words


async def _version(_request: web.Request) -> web.Response:
    return reply({"version": VERSION})


async def _status(_request: web.Request) -> web.Response:
    return reply({"cloud": {"disabled": True, "source": "engine"}})


async def _build(_request: web.Request) -> web.Response:
    """What answers depend on besides the model and this version. No route of Ollama's."""
    return reply({"build": await asyncio.to_thread(build_of_library)})


# --- around every request -------------------------------------------------------------------------


@web.middleware
async def _guard(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Refuse foreign hosts and origins, and answer preflights.

    This comes before anything else looks at the request.
    """
    if not is_local_host(request.headers.get("Host", "")):
        return web.Response(status=403)
    origin = request.headers.get("Origin")
    allow = _allow_header(request)
    if origin is not None and not is_local_origin(origin):
        return web.Response(status=403, headers=allow)
    if request.method != "OPTIONS":
        return await handler(request)
    if origin is None:
        return web.Response(status=204, headers=allow)
    cors = {
        "Access-Control-Allow-Headers": _CORS_HEADERS,
        "Access-Control-Allow-Methods": _CORS_METHODS,
        "Access-Control-Max-Age": "43200",
    }
    return web.Response(status=204, headers={**cors, **allow})


def _allow_header(request: web.Request) -> dict[str, str]:
    """The methods that the path has, if the request came with another one."""
    mismatch = request.match_info.http_exception
    if not isinstance(mismatch, web.HTTPMethodNotAllowed):
        return {}
    return {"Allow": ", ".join(sorted(mismatch.allowed_methods))}


@web.middleware
async def _translate(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Turn errors into answers."""
    try:
        return await handler(request)
    except QiError as error:
        return reply_error(request.path, error)
    except web.HTTPMethodNotAllowed:
        return web.Response(
            body=b"405 method not allowed",
            status=405,
            headers={**_allow_header(request), "Content-Type": "text/plain"},
        )
    except web.HTTPNotFound:
        return web.Response(
            body=b"404 page not found", status=404, headers={"Content-Type": "text/plain"}
        )
    except web.HTTPRequestEntityTooLarge:
        return reply_error(
            request.path,
            ServerError(f"the body is larger than {_LARGEST_BODY:,} bytes", status=413),
        )
    except ConnectionError:
        raise  # the client is gone, so there is none to answer
    except Exception as error:
        # The edge of the process: the error is logged with its traceback, and the client hears it.
        logger.exception("%s %s failed", request.method, request.path)
        reason = f"the engine failed: {type(error).__name__}: {error}"
        return reply_error(request.path, ServerError(reason, "see its log", status=500))


async def _finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set an answer's last headers.

    The server is not named, there is no content type without content, and the local page that asked
    gets CORS.
    """
    response.headers.popall("Server", None)
    if isinstance(response, web.Response) and not response.body:
        response.headers.popall("Content-Type", None)
    origin = request.headers.get("Origin")
    if origin is not None and is_local_origin(origin) and response.status != 403:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers.add("Vary", "Origin")
