"""An inference request as it is read: which model it asks for, and what is sent in its place.

A body that travels encoded is read from a decoded copy. It is sent on as it came, unless the name
in it must be exchanged: then decoded, with the length that it has.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from qi_learn.gateway.counters import named_client
from qi_learn.gateway.encoding import decoded, is_plain
from qi_learn.gateway.exchange import LONGEST, Exchange
from qi_learn.gateway.guard import end_to_end
from qi_learn.gateway.header_bytes import header_text
from qi_learn.gateway.model_field import (
    ModelField,
    Unsure,
    find_model,
    first_model,
    parsed_model,
    scanned_model,
)
from qi_learn.gateway.restore import NameRestorer
from qi_learn.gateway.rewrite import conversation, request_model
from qi_learn.gateway.routes import Answering, Routes
from qi_learn.gateway.turn_ids import TurnIds

SESSION_HEADERS = ("x-qi-learn-session", "x-session-id", "session_id")
TURN_HEADER = "x-qi-learn-request"
"""With a ULID in it: the id that the client wants its turn to have."""
SMALL = 64 * 1024
"""Bytes. A shorter body is parsed at once if it is not plain where its name is."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes to the upstream."""

    body: bytes
    headers: CIMultiDict[str]
    restorer: NameRestorer | None = None
    """Puts the asked name back, if another was sent."""
    answering: str | None = None
    """The model that answers in the place of the one that was asked for."""


@dataclass(slots=True)
class Question:
    """One inference request."""

    exchange: Exchange
    raw: bytes
    """The body as it came."""
    headers: CIMultiDict[str]
    model: ModelField | None

    def answering(self, routes: Routes | None) -> Answering | None:
        """The model that answers by the routes; None if the name means itself."""
        if routes is None or self.model is None:
            return None
        return routes.answering(self.model.name, self._key)

    def _key(self) -> str:
        """What keeps a conversation with its arm."""
        if self.exchange.session is not None:
            return self.exchange.session
        named = request_model(self.exchange.request.decode("utf-8", "surrogateescape"))
        return conversation(named[1] if named else {})()

    def as_it_came(self) -> Sending:
        """The request with nothing exchanged."""
        return Sending(self.raw, self.headers)

    def naming(self, name: str) -> Sending:
        """The request with another model's name."""
        assert self.model is not None
        if name == self.model.name:
            return Sending(self.raw, self.headers, answering=name)
        headers = self.headers.copy()
        headers.popall("Content-Encoding", None)
        body = self.model.exchanged(self.exchange.request, name)
        return Sending(body, headers, NameRestorer(self.model.name, name), name)


async def read_question(
    request: web.BaseRequest, endpoint: str, ids: TurnIds, came: float
) -> Question:
    """Read a request to its end; `came`: when its head had come."""
    raw = await request.content.read()
    encoding = request.headers.get("Content-Encoding", "")
    plain: bytes | None = raw
    if not is_plain(encoding):
        if len(raw) > SMALL:
            plain = await asyncio.to_thread(decoded, raw, encoding)
        else:
            plain = decoded(raw, encoding)
    named = (header_text(request.headers.get(name)) for name in SESSION_HEADERS)
    exchange = Exchange(
        endpoint,
        b"" if plain is None else plain,
        ids.take(request.headers.get(TURN_HEADER)),
        session=next((session for session in named if session), None),
        client=named_client(request.headers),
        project=_directory(request.headers.get("x-qi-learn-project")),
        came=came,
        unreadable=plain is None,
    )
    model = await _model_in(exchange.request)
    if model is not None:
        exchange.asked = exchange.answered = model.name
    headers = end_to_end(request.headers)
    headers.popall("Content-Length", None)  # set anew from the body
    return Question(exchange, raw, headers, model)


def _directory(value: str | None) -> str | None:
    """The directory that a client names, with its home for a `~`."""
    named = header_text(value)
    return None if named is None else os.path.expanduser(named)


async def _model_in(body: bytes) -> ModelField | None:
    """The name in a body."""
    small = len(body) <= SMALL
    if small and body.lower().count(b'"model"') != 1:
        return parsed_model(body)
    if small and (first := first_model(body)) is not None:
        return first
    try:
        return find_model(body)
    except Unsure:
        if small:
            return parsed_model(body)
        read = parsed_model if len(body) <= LONGEST else scanned_model
        return await asyncio.to_thread(read, body)
