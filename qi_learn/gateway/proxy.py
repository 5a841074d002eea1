"""The gateway: a proxy in front of Ollama that changes nothing and keeps a copy.

The way of a request, with one file for each step:

1. `guard.py` decides whether the client may speak to the gateway.
2. `admission.py` counts a request that needs a model. While a learning cycle has the only GPU to
   itself, the request waits, for `idle.longest_hold` at most.
3. `routes.py` says which model answers, and `rewrite.py` exchanges the name in the body.
4. `relay.py` passes the answer on, chunk by chunk as it comes.
5. `recorder.py` writes the copy down, and `client_project.py` finds the client's project.

The invariants. Bodies pass byte for byte in both directions. Unknown paths pass. Nothing is
decompressed, and no limit of time or size is added but that of step 2. One value is exchanged:
`model`, only on the six inference routes, and only for names that the live version answers for. A
client that hangs up takes its request to Ollama down with it. If recording or finding the project
fails, only `qi-learn status` shows it. No database is touched.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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
"""Endpoints whose requests are routed and whose exchanges are recorded."""
NEED_A_MODEL = INFERENCE | {"/api/embed", "/api/embeddings", "/v1/embeddings"}
"""What makes Ollama load a model: either learning gives way to it, or it waits."""
SESSION_HEADERS = ("x-qi-learn-session", "x-session-id", "session_id")
_SENT_WHOLE = 1024 * 1024
"""Bytes. A longer request body goes out in pieces, so that other streams go on."""
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*+")', re.IGNORECASE)

Body = bytes | io.BytesIO | aiohttp.StreamReader | None


@dataclass(slots=True)
class Gateway:
    """The proxy of one upstream. `handle` takes one request."""

    upstream: str
    """Ollama's address, or the embedded engine's, without a slash at its end."""
    session: aiohttp.ClientSession
    guard: Guard
    routes: RouteFile
    recorder: Recorder
    clients: ClientProjects
    admission: Admission
    stop: asyncio.Event
    """Set once the gateway is to leave: what breaks off then is no client's doing."""
    _urls: dict[str, URL] = field(init=False)

    def __post_init__(self) -> None:
        self._urls = {path: URL(self.upstream + path, encoded=True) for path in INFERENCE}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on, or say why it must not pass."""
        if refusal := self.guard.refusal(request.path, request.headers):
            return _own_answer(403, {"error": refusal})
        _invite_body(request)
        path = request.raw_path
        if request.method != "POST" or path not in NEED_A_MODEL:
            return await self._pass(request, path)
        self.admission.begin()
        try:
            if self.admission.held and (reason := await self.admission.wait_for_release()):
                return _own_answer(503, _error_body(reason, path), {"Retry-After": "30"})
            if path in INFERENCE:
                return await self._infer(request, path)
            return await self._pass(request, path)
        finally:
            self.admission.end()

    async def _pass(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Pass on what is neither routed nor recorded; its body is never held in memory."""
        if not path.startswith("/"):
            message = "qi-learn is no forward proxy: ask for a path, not for a whole URL"
            return _own_answer(400, {"error": message})
        url = URL(self.upstream + path, encoded=True)
        body = request.content if request.can_read_body else None
        return await self._forward(request, url, body, None, None)

    async def _infer(self, request: web.BaseRequest, endpoint: str) -> web.StreamResponse:
        """Pass on an inference request: routed if its model is, and recorded."""
        exchange = await _read_exchange(request, endpoint)
        copy = self._copy_of(exchange, request)  # first: its look for the client goes on meanwhile
        body = self._route(exchange)
        restorer = None
        if exchange.asked and exchange.answered:
            restorer = NameRestorer(endpoint, exchange.asked, exchange.answered)
        sent = io.BytesIO(body) if len(body) > _SENT_WHOLE else body
        return await self._forward(request, self._urls[endpoint], sent, copy, restorer)

    def _copy_of(self, exchange: Exchange, request: web.BaseRequest) -> RecordedExchange | None:
        """The copy of an exchange; None if it is not to be recorded."""
        declined = request.headers.get("x-qi-learn-record") == "0"
        unreadable = "Content-Encoding" in request.headers
        if not self.recorder.enabled or declined or unreadable or request.transport is None:
            return None
        return RecordedExchange(exchange, self.recorder, self.clients, request.transport)

    def _route(self, exchange: Exchange) -> bytes:
        """The request's body, naming the model that answers; the exchange notes which one."""
        routes = self.routes.current()
        self.recorder.routes_problem(self.routes.problem)
        if routes is None or not _may_be_routed(exchange.request, routes):
            return exchange.request
        text = exchange.request.decode("utf-8", "surrogateescape")
        named = request_model(text)
        if named is None:
            return exchange.request
        model, members = named
        session = exchange.session
        key = conversation(members) if session is None else lambda: session
        answering = routes.answering(model.value, key)
        if answering is None:
            return exchange.request
        exchange.asked, exchange.answered = model.value, answering.model
        exchange.digest = answering.digest
        return exchanged(text, model, answering.model).encode("utf-8", "surrogateescape")

    async def _forward(
        self,
        request: web.BaseRequest,
        url: URL,
        body: Body,
        copy: RecordedExchange | None,
        restorer: NameRestorer | None,
    ) -> web.StreamResponse:
        """Ask the upstream and relay its answer. Every end of the exchange passes through here."""
        headers = end_to_end(request.headers)
        if not isinstance(body, aiohttp.StreamReader):
            headers.popall("Content-Length", None)  # set anew from the body
        answer: aiohttp.ClientResponse | None = None
        try:
            try:
                answer = await self.session.request(
                    request.method, url, headers=headers, data=body, allow_redirects=False
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return _own_answer(502, _no_upstream(self.upstream, error, request.path))
            return await Relay(request, answer, copy, restorer).run()
        except (asyncio.CancelledError, ConnectionError):
            if copy is not None:
                # Once the gateway is to stop, it is the one that leaves, not the client.
                copy.abandon(cancelled=not self.stop.is_set())
            raise
        finally:
            if answer is not None:
                # Without effect on an answer read to its end. Any other is broken off, which tells
                # the upstream to generate no more.
                answer.close()


async def _read_exchange(request: web.BaseRequest, endpoint: str) -> Exchange:
    """The request as it is recorded: body, session and project."""
    named = (request.headers.get(name) for name in SESSION_HEADERS)
    return Exchange(
        endpoint,
        await request.content.read(),
        session=next((session for session in named if session), None),
        project=request.headers.get("x-qi-learn-project"),
    )


def _invite_body(request: web.BaseRequest) -> None:
    """Tell a client that waits with its body (`Expect: 100-continue`) to send it."""
    expects = request.headers.get("Expect", "").lower()
    if expects == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _may_be_routed(body: bytes, routes: Routes) -> bool:
    """Whether some `"model": "..."` in the body names what is routed.

    A quick look, before the body is read as JSON.
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
    """An answer of the gateway itself."""
    return web.Response(
        status=status,
        body=json.dumps(value).encode(),
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def _no_upstream(upstream: str, error: Exception, path: str) -> dict[str, Any]:
    """The error for an upstream that does not answer."""
    reason = str(error) or type(error).__name__
    hint = "`qi-learn status` shows what runs, `qi-learn doctor` what to do."
    return _error_body(f"no answer from {upstream} ({reason}). {hint}", path)


def _error_body(words: str, path: str) -> dict[str, Any]:
    """An error of the gateway itself, in the form of the API that was asked."""
    message = f"qi-learn: {words}"
    if path == "/v1/messages":
        return {"type": "error", "error": {"type": "api_error", "message": message}}
    if path.startswith("/v1/"):
        return {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    return {"error": message}
