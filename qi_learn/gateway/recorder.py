"""The copy: what goes through the gateway becomes one `turn` event in the spool.

Two invariants. The event is in the spool before the last bytes of the answer go to the client, so a
finished stream survives `kill -9`. And recording never touches traffic: a failure here is reported
once in `gateway.json`, and exchanges go on without a copy until writing works again.

Not recorded: headers (they carry credentials), models that run elsewhere, loads and unloads,
renderings without an answer, bodies in another encoding, exchanges above `LONGEST` bytes, and
requests marked `x-qi-learn-record: 0`. A refused request (4xx, 5xx) is recorded with its status if
it was a JSON object with a model, because an error rate is worth knowing. A request that was not
even that teaches nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.errors import QiError
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.live_settings import LiveRecord
from qi_learn.gateway.own_state import GatewayState
from qi_learn.gateway.rewrite import request_model
from qi_learn.gateway.routes import is_cloud
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)

LONGEST = 16 * 1024 * 1024
"""Bytes of request and answer together."""
IN_THREAD = 256 * 1024
"""Bytes above which a line is made in a thread, so that other streams go on."""
PATIENCE = 0.05
"""Seconds that the end of an answer may wait for the first look at its client's project."""
CLIENT_GONE = 499
"""Status of an exchange that the client left before it had one."""
_NO_TURN = re.compile(rb'"done_reason":"(un)?load"|"_debug_info":')
_LAST_EVENT = re.compile(
    rb"event: (message_stop|response\.(completed|incomplete|failed))\b|data: \[DONE\]"
)


@dataclass(slots=True)
class Exchange:
    """One inference request and what has come back so far."""

    endpoint: str
    request: bytes
    session: str | None = None
    project: str | None = None
    asked: str | None = None
    """The name in the request: set at once for a routed one, else read when it is recorded."""
    answered: str | None = None
    """The name of the model that answered."""
    digest: str | None = None
    started: float = field(default_factory=time.time)
    """Unix seconds."""
    began: float = field(default_factory=time.perf_counter)
    """The same moment on the clock that durations are measured with."""
    first: float | None = None
    """When the first byte of the answer came, on that clock."""
    status: int = CLIENT_GONE
    content_type: str = ""
    answer: bytearray = field(default_factory=bytearray)
    too_long: bool = False
    recorded: bool = False

    def take(self, data: bytes) -> None:
        """Keep a piece of the answer, as the upstream sent it."""
        if self.first is None:
            self.first = time.perf_counter()
        if len(self.request) + len(self.answer) + len(data) > LONGEST:
            self.too_long = True
        else:
            self.answer += data

    def has_ended(self) -> bool:
        """Whether a reader of the stream takes it for finished.

        It is if its last event is complete, though the connection may stay open.
        """
        if self.content_type.startswith("application/x-ndjson"):
            return self._last_object_is_done()
        if self.content_type.startswith("text/event-stream") and self.answer.endswith(b"\n\n"):
            before = self.answer.rfind(b"\n\n", 0, len(self.answer) - 2)
            return _LAST_EVENT.match(self.answer, 0 if before < 0 else before + 2) is not None
        return False

    def _last_object_is_done(self) -> bool:
        """Whether the last line of an NDJSON stream says `"done": true`."""
        if not self.answer.endswith(b"\n"):
            return False
        line = self.answer[self.answer.rfind(b"\n", 0, len(self.answer) - 1) + 1 :]
        if b'"done":true' not in line:
            return False
        try:
            value = json.loads(line)
        except ValueError:
            return False
        return isinstance(value, dict) and value.get("done") is True

    def is_a_turn(self) -> bool:
        """Whether this is a turn; the module's docstring lists what is not."""
        if (
            self.too_long
            or len(self.request) > LONGEST
            or (len(self.answer) < 65536 and _NO_TURN.search(self.answer))
        ):
            return False
        if self.asked is None:
            named = request_model(self.request.decode("utf-8", "surrogateescape"))
            if named is None:
                return False
            self.asked = self.answered = named[0].value
        return not is_cloud(self.asked or "")

    def body(self, *, cancelled: bool) -> dict[str, Any]:
        """The body of its `turn` event."""
        return {
            "endpoint": self.endpoint,
            "request": self.request.decode("utf-8", "replace"),
            "response": self.answer.decode("utf-8", "replace"),
            "content_type": self.content_type,
            "model_asked": self.asked,
            "model_answered": self.answered,
            "model_digest": self.digest,
            "status": self.status,
            "cancelled": cancelled,
            "session": self.session,
            "started": self.started,
            "ended": self.started + time.perf_counter() - self.began,
            "ttfb_ms": None if self.first is None else round((self.first - self.began) * 1000, 3),
        }


class Recorder:
    """Writes exchanges to the spool, and how that goes to the gateway's state."""

    def __init__(self, directory: Path, state: GatewayState, live: LiveRecord) -> None:
        self._spool = Spool(directory, "gateway")
        self._state = state
        self._live = live
        self._failure: str | None = None
        self._routes_problem: str | None = None
        self.report()

    @property
    def enabled(self) -> bool:
        """Whether exchanges are recorded, as the settings are now."""
        on = self._live.on
        self.report()
        return on

    async def record(self, exchange: Exchange) -> None:
        """Write a finished exchange.

        Raises nothing but cancellation, and then the line is written all the same.
        """
        if len(exchange.request) + len(exchange.answer) > IN_THREAD:
            await asyncio.to_thread(self.record_now, exchange, cancelled=False)
        else:
            self.record_now(exchange, cancelled=False)

    def record_now(self, exchange: Exchange, *, cancelled: bool) -> None:
        """Write an exchange once, and never raise: a broken recorder must not break traffic."""
        if exchange.recorded:
            return
        exchange.recorded = True
        try:
            if exchange.is_a_turn():
                self._spool.append(
                    "turn",
                    exchange.body(cancelled=cancelled),
                    author="model",
                    project=exchange.project,
                )
                self._failure = None
                self._state.count("recorded")
        except QiError as error:
            self._lose(error.what)
        except Exception:  # the edge that keeps recording away from traffic: logged, and reported
            logger.exception("an exchange could not be recorded")
            self._lose("an exchange could not be recorded; the gateway's log says why")
        self.report()

    def _lose(self, reason: str) -> None:
        self._failure = reason
        self._state.lose(reason)

    def routes_problem(self, problem: str | None) -> None:
        """Note what is wrong with the routes file, for `status`."""
        if problem != self._routes_problem:
            self._routes_problem = problem
            self.report()

    def close(self) -> None:
        """Write the last counts down, and let go of the spool's file."""
        self._state.beat()
        self._spool.close()

    def report(self) -> None:
        """Publish and log how recording goes, if that has changed."""
        reason = self._failure if self._live.on else "gateway.record is false"
        facts = {
            "recording": reason is None,
            "reason": reason,
            "routes_problem": self._routes_problem,
            "settings_problem": self._live.problem,
        }
        if self._state.set(**facts):
            well = reason is None and not self._routes_problem
            logger.log(logging.INFO if well else logging.WARNING, "%s", facts)


class RecordedExchange:
    """The copy of one exchange.

    It takes what passes and is written at the exchange's end, whichever end that is.
    """

    def __init__(
        self,
        exchange: Exchange,
        recorder: Recorder,
        clients: ClientProjects,
        connection: asyncio.BaseTransport,
    ) -> None:
        self.exchange = exchange
        self._recorder = recorder
        self._clients = clients
        self._connection = connection
        if exchange.project is None:
            clients.look_up(connection)

    def begin(self, status: int, content_type: str) -> None:
        """Note how the answer begins."""
        self.exchange.status, self.exchange.content_type = status, content_type

    def take(self, pieces: list[bytes]) -> None:
        """Keep some pieces of the answer."""
        for piece in pieces:
            self.exchange.take(piece)

    async def finish(self) -> None:
        """Write the copy of a whole answer. Called before the answer's last bytes go out."""
        if self.exchange.recorded:
            return
        if self.exchange.project is None:
            self.exchange.project = await self._clients.project(self._connection, PATIENCE)
        await self._recorder.record(self.exchange)

    def abandon(self, *, cancelled: bool) -> None:
        """Write the copy of what came: the client has left, or one of the servers."""
        if self.exchange.project is None:
            self.exchange.project = self._clients.project_now(self._connection)
        self._recorder.record_now(self.exchange, cancelled=cancelled)
