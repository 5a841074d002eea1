"""The gateway: a proxy in front of Ollama that changes nothing and keeps a copy.

The way of a request, with one file for each step:

1. `guard.py` decides whether the client may speak to the gateway.
2. `admission.py` counts a request that needs a model. While a learning cycle has the only GPU to
   itself, the request waits, for `idle.longest_hold` at most.
3. `endpoint.py` says by the path what is asked, `question.py` reads it, `routes.py` says which
   model answers, and the name in the body is exchanged.
4. `relay.py` passes the answer on, chunk by chunk as it comes; `restore.py` puts the name back.
5. `recorder.py` writes the copy down, and `client_project.py` finds the client's project.

The invariants. Bodies and targets pass byte for byte in both directions. Unknown paths pass. No
limit of time or size is added but that of step 2. One value is exchanged: `model`, only on the six
inference routes, and only for names that the live version answers for. A routed model that the
server does not have breaks no client: the base answers under its own name, and that is told. A
client that hangs up takes its request to Ollama down with it. If recording or finding the project
fails, only `qi-learn status` shows it. No database is touched.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from qi_learn.errors import ServerError, ServerUnreachable
from qi_learn.gateway.admission import Admission
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.counters import client_of
from qi_learn.gateway.endpoint import (
    INFERENCE,
    NEED_A_MODEL,
    endpoint_of,
    host_and_path,
    looks_like_inference,
)
from qi_learn.gateway.guard import Guard, end_to_end
from qi_learn.gateway.missing import is_missing, read_error
from qi_learn.gateway.question import Question, Sending, read_question
from qi_learn.gateway.recorder import RecordedExchange, Recorder
from qi_learn.gateway.relay import AlreadyAnswered, Relay
from qi_learn.gateway.routes import RouteFile, Routes
from qi_learn.gateway.turn_ids import TurnIds
from qi_learn.gateway.upstream import Upstream
from qi_learn.gateway.upstream_answer import UpstreamAnswer
from qi_learn.outside.peer import ClientWatch
from qi_learn.outside.silence import broken_off, gone


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's answer, and what it answers."""

    answer: UpstreamAnswer
    to: Sending
    begun: bytes = b""
    """What has been read of the answer's body."""


@dataclass(slots=True)
class Gateway:
    """The proxy of one upstream. `handle` takes one request."""

    upstream: Upstream
    """Ollama, or the embedded engine."""
    guard: Guard
    routes: RouteFile
    recorder: Recorder
    clients: ClientProjects
    admission: Admission
    engine: bool
    """Whether the upstream is the embedded engine."""
    stop: asyncio.Event
    """Set once the gateway is to leave: what breaks off then is no client's doing."""
    ids: TurnIds = field(default_factory=TurnIds)
    watch: ClientWatch = field(default_factory=ClientWatch)

    def close(self) -> None:
        """Write down what is still to be, and let go of files and connections."""
        self.admission.close()
        self.recorder.close()
        self.ids.close()
        self.upstream.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on, or say why it must not pass."""
        host, target = host_and_path(request.raw_path)
        endpoint = endpoint_of(target)
        if refusal := self.guard.refusal(endpoint, request.headers, host):
            return _own_answer(403, {"error": refusal})
        if not target.startswith("/"):
            message = "qi-learn: this target is no path"
            return _own_answer(400, {"error": message})
        _invite_body(request)
        if request.method != "POST" or endpoint not in NEED_A_MODEL:
            self._look_at(request, endpoint)
            return await self._pass(request, target)
        came = time.perf_counter()
        self.admission.begin()
        try:
            if self.admission.held and (reason := await self.admission.wait_for_release()):
                return _own_answer(503, _error_body(reason, endpoint), {"Retry-After": "30"})
            if endpoint in INFERENCE:
                with self.watch.ends_with(request.transport):
                    return await self._infer(request, target, endpoint, came)
            return await self._pass(request, target)
        finally:
            self.admission.end()

    def _look_at(self, request: web.BaseRequest, endpoint: str) -> None:
        """Count what may be inference by a path that is not known."""
        if looks_like_inference(request.method, endpoint):
            self.recorder.counters.unrecognised(endpoint, client_of(request.headers))

    async def _pass(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        """Pass on what is neither routed nor recorded; its body is never held in memory."""
        headers = end_to_end(request.headers)
        body = request.content.iter_any() if request.can_read_body else None
        answer: UpstreamAnswer | None = None
        try:
            try:
                answer = await self.upstream.ask(request.method, target, headers, body)
            except ServerError as error:
                return self._no_answer(error, request.path)
            return await Relay(request, answer).run()
        except ConnectionError:
            return AlreadyAnswered(keep=False)  # the client has left
        finally:
            if answer is not None:
                answer.close()

    async def _infer(
        self, request: web.BaseRequest, target: str, endpoint: str, came: float
    ) -> web.StreamResponse:
        """Pass on an inference request: routed if its model is, and recorded."""
        question = await read_question(request, endpoint, self.ids, came)
        self.recorder.counters.count("requests")
        # first: the look for its client goes on meanwhile
        copy = await self._copy_of(question, request)
        reply: Reply | None = None
        try:
            try:
                reply = await self._reply(target, question)
            except ServerError as error:
                if copy is not None:  # else it was counted before
                    self.recorder.counters.not_recorded("no_answer")
                return self._no_answer(error, endpoint)
            return await Relay(request, reply.answer, copy, reply.to, reply.begun).run()
        except BaseException as error:
            if copy is not None:
                # Once the gateway is to stop, it is the one that leaves, not the client.
                left = isinstance(error, (asyncio.CancelledError, ConnectionError))
                copy.abandon(cancelled=left and not self.stop.is_set())
            if isinstance(error, ConnectionError):
                return AlreadyAnswered(keep=False)  # the client has left
            raise
        finally:
            if reply is not None:
                # Without effect on an answer read to its end. Any other is broken off, which tells
                # the upstream to generate no more.
                reply.answer.close()

    async def _reply(self, target: str, question: Question) -> Reply:
        """The upstream's answer, by the model of the routes or what stands in for a missing one."""
        routes = self.routes.current()
        self.recorder.routes_problem(self.routes.problem)
        answering = question.answering(routes)
        if routes is None or answering is None:
            return Reply(await self._send(target, question.as_it_came()), question.as_it_came())
        self.recorder.counters.count("routed")
        question.exchange.answered, question.exchange.digest = answering.model, answering.digest
        sending = question.naming(answering.model)
        answer = await self._send(target, sending)
        if answer.status != 404 or answering.pinned:
            if answer.status < 400:
                self.recorder.counters.found(answering.model)
            return Reply(answer, sending)
        return await self._stand_in(target, question, Reply(answer, sending), routes)

    async def _stand_in(
        self, target: str, question: Question, reply: Reply, routes: Routes
    ) -> Reply:
        """The answer of what stands in for a routed model, if that is what a 404 says."""
        assert question.model is not None
        names, missing = [*routes.stand_ins(question.model.name)], reply.to.answering or ""
        while is_missing(reply.answer, begun := await _read_error(reply.answer)):
            if not names:
                self._note_missing(missing, "")
                return Reply(reply.answer, reply.to, begun)
            reply.answer.close()
            sending = question.naming(names.pop(0))
            reply = Reply(await self._send(target, sending), sending)
            question.exchange.answered, question.exchange.digest = sending.answering, None
            if reply.answer.status != 404:
                self._note_missing(missing, sending.answering or "")
                return reply
        return Reply(reply.answer, reply.to, begun)

    def _note_missing(self, model: str, stand_in: str) -> None:
        """Note that another model answers than the routes name, or none."""
        self.recorder.counters.missing(model, stand_in)

    async def _send(self, target: str, sending: Sending) -> UpstreamAnswer:
        return await self.upstream.ask("POST", target, sending.headers, sending.body)

    async def _copy_of(
        self, question: Question, request: web.BaseRequest
    ) -> RecordedExchange | None:
        """The copy of an exchange; None if it is not to be recorded."""
        link, exchange = request.transport, question.exchange
        if link is None or not await self.recorder.wants(request.headers, exchange):
            return None
        return RecordedExchange(exchange, self.recorder, self.clients, link)

    def _no_answer(self, error: ServerError, path: str) -> web.Response:
        """The answer in the place of an upstream's that does not come."""
        return _own_answer(502, _no_upstream(self.upstream.url, error, path, engine=self.engine))


async def _read_error(answer: UpstreamAnswer) -> bytes:
    """The body of a 404 or its beginning; the answer is closed if it breaks off."""
    try:
        return await read_error(answer)
    except BaseException:
        answer.close()
        raise


def _invite_body(request: web.BaseRequest) -> None:
    """Tell a client that waits with its body (`Expect: 100-continue`) to send it."""
    expects = request.headers.get("Expect", "").lower()
    if expects == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


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


def _no_upstream(upstream: str, error: ServerError, path: str, *, engine: bool) -> dict[str, Any]:
    """The error for an upstream that does not answer, or breaks off before it does."""
    if isinstance(error, ServerUnreachable):
        told = gone(upstream, engine=engine)
    else:
        told = broken_off(upstream, error.what, engine=engine)
    hint = "`qi-learn status` shows what runs, `qi-learn doctor` what to do."
    return _error_body(f"{told.line}. {hint}", path)


def _error_body(words: str, path: str) -> dict[str, Any]:
    """An error of the gateway itself, in the form of the API that was asked."""
    message = f"qi-learn: {words}"
    if path == "/v1/messages":
        return {"type": "error", "error": {"type": "api_error", "message": message}}
    if path.startswith("/v1/"):
        return {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    return {"error": message}
