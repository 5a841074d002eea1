"""The gateway: a proxy in front of Ollama that changes nothing and keeps a copy.

Bodies pass byte for byte in both directions, as they come and chunk by chunk (`relay.py`); unknown
paths pass; nothing is decompressed, and no limit of time or size is added. One value is exchanged,
and only on the six inference routes for names that the live version answers for: `model`
(`rewrite.py`, `route.py`). A client that hangs up takes its request to Ollama down with it.
Recording (`record.py`) and finding the client's project (`whose.py`) may fail without anybody
noticing but `qi-learn status`. No database is touched. While a learning cycle has the only GPU to
itself, what needs a model waits, for so long and no longer (`traffic.py`).
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from qi_learn.gateway.admission import Admission
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.guard import Guard, end_to_end
from qi_learn.gateway.recorder import Exchange, RecordedExchange, Recorder
from qi_learn.gateway.relay import Relay
from qi_learn.gateway.rewrite import NameRestorer, conversation, exchanged, request_model
from qi_learn.gateway.routes import RouteFile, Routes

INFERENCE = frozenset(
    (
        "/api/chat",
        "/api/generate",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
    )
)
NEED_A_MODEL = INFERENCE | {"/api/embed", "/api/embeddings", "/v1/embeddings"}
"""What makes Ollama load a model: learning gives way to it, or it waits."""
SESSION_HEADERS = ("x-qi-learn-session", "x-session-id", "session_id")
_AT_ONCE = 1024 * 1024
"""A longer request body goes out in pieces, so that other streams go on."""
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*+")', re.IGNORECASE)


class Gateway:
    """The proxy of one upstream. `handle` takes one request."""

    def __init__(
        self,
        upstream: str,
        session: aiohttp.ClientSession,
        *,
        guard: Guard,
        routes: RouteFile,
        recorder: Recorder,
        clients: ClientProjects,
        stop: asyncio.Event,
        traffic: Admission,
    ) -> None:
        self._upstream = upstream
        self._guard = guard
        self._routes = routes
        self._recorder = recorder
        self._clients = clients
        self._stop = stop
        self._session = session
        self._traffic = traffic
        self._urls = {path: URL(upstream + path, encoded=True) for path in INFERENCE}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Passes a request on, or says why not."""
        if refusal := self._guard.refusal(request.path, request.headers):
            return _own_answer(403, {"error": refusal})
        if (
            request.headers.get("Expect", "").lower() == "100-continue"
            and request.transport is not None
        ):
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        path = request.raw_path
        if request.method != "POST" or path not in NEED_A_MODEL:
            return await self._pass(request, path)
        self._traffic.begin()
        try:
            if self._traffic.held and (reason := await self._traffic.wait_for_release()):
                return _own_answer(503, _error_body(reason, path), {"Retry-After": "30"})
            return await (
                self._inference(request, path) if path in INFERENCE else self._pass(request, path)
            )
        finally:
            self._traffic.end()

    async def _pass(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if not path.startswith("/"):
            return _own_answer(
                400, {"error": "qi-learn is no forward proxy: ask for a path, not for a whole URL"}
            )
        return await self._exchange(
            request,
            URL(self._upstream + path, encoded=True),
            request.content if request.can_read_body else None,
            None,
            None,
        )

    async def _inference(self, request: web.BaseRequest, endpoint: str) -> web.StreamResponse:
        exchange = Exchange(
            endpoint,
            await request.content.read(),
            session=next(
                (value for name in SESSION_HEADERS if (value := request.headers.get(name))), None
            ),
            project=request.headers.get("x-qi-learn-project"),
        )
        copy: RecordedExchange | None = None
        unread = (
            request.headers.get("x-qi-learn-record") == "0" or "Content-Encoding" in request.headers
        )
        if self._recorder.enabled and request.transport is not None and not unread:
            copy = RecordedExchange(exchange, self._recorder, self._clients, request.transport)
        body = self._route(exchange)
        restorer = (
            NameRestorer(endpoint, exchange.asked, exchange.answered)
            if exchange.asked and exchange.answered
            else None
        )
        return await self._exchange(
            request,
            self._urls[endpoint],
            io.BytesIO(body) if len(body) > _AT_ONCE else body,
            copy,
            restorer,
        )

    def _route(self, exchange: Exchange) -> bytes:
        """The request's body with the name of the model that answers, of which the exchange is
        told.
        """
        routes = self._routes.current()
        self._recorder.routes_problem(self._routes.problem)
        if routes is None or not _may_be_routed(exchange.request, routes):
            return exchange.request
        text = exchange.request.decode("utf-8", "surrogateescape")
        found = request_model(text)
        if found is None:
            return exchange.request
        model, members = found
        session = exchange.session
        answering = routes.answering(
            model.value, conversation(members) if session is None else lambda: session
        )
        if answering is None:
            return exchange.request
        exchange.asked, exchange.answered, exchange.digest = (
            model.value,
            answering.model,
            answering.digest,
        )
        return exchanged(text, model, answering.model).encode("utf-8", "surrogateescape")

    async def _exchange(
        self,
        request: web.BaseRequest,
        url: URL,
        body: bytes | io.BytesIO | aiohttp.StreamReader | None,
        copy: RecordedExchange | None,
        restorer: NameRestorer | None,
    ) -> web.StreamResponse:
        headers = end_to_end(request.headers)
        if not isinstance(body, aiohttp.StreamReader):
            headers.popall("Content-Length", None)  # set anew from the body
        answer: aiohttp.ClientResponse | None = None
        try:
            try:
                answer = await self._session.request(
                    request.method, url, headers=headers, data=body, allow_redirects=False
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return _own_answer(502, _no_upstream(self._upstream, error, request.path))
            return await Relay(request, answer, copy, restorer).run()
        except (asyncio.CancelledError, ConnectionError):
            if copy is not None:
                copy.abandon(cancelled=not self._stop.is_set())  # when we stop, it is us who leave
            raise
        finally:
            if answer is not None:
                answer.close()  # nothing where it was read to its end; else the upstream learns that nobody listens


def _may_be_routed(body: bytes, routes: Routes) -> bool:
    """Whether some `"model": "..."` in the body names what is routed: a quick look, before the body
    is read as JSON.
    """
    for match in _MODEL.finditer(body):
        try:
            if routes.covers(json.loads(match[1])):
                return True
        except ValueError:
            continue
    return False


def _own_answer(
    status: int, value: dict[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(value).encode(),
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def _no_upstream(upstream: str, error: Exception, path: str) -> dict[str, Any]:
    """That nobody answers behind the gateway."""
    reason = str(error) or type(error).__name__
    return _error_body(
        f"no answer from {upstream} ({reason}). `qi-learn status` shows what runs, `qi-learn "
        "doctor` what to do.",
        path,
    )


def _error_body(words: str, path: str) -> dict[str, Any]:
    """An error of ours, in the form of the API that was asked."""
    message = f"qi-learn: {words}"
    if path == "/v1/messages":
        return {"type": "error", "error": {"type": "api_error", "message": message}}
    if path.startswith("/v1/"):
        return {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    return {"error": message}
