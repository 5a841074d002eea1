"""The copy: what goes through the gateway becomes one `turn` event in the spool.

Two invariants. The event is in the spool before the last bytes of the answer go to the client, so a
finished stream survives `kill -9`. And recording never touches traffic: whatever fails here is told
once in `gateway.json` and the exchange goes on without a copy, until writing works again.

Headers are not recorded at all (they carry credentials), and neither are models that run elsewhere,
loads and unloads, renderings without an answer, bodies in another encoding, exchanges above
`LONGEST` bytes, and requests marked `x-qi-learn-record: 0`. A refused request (4xx, 5xx) is
recorded with its status where it was a JSON object with a model: an error rate is worth knowing;
what was not even that teaches nothing.
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
from qi_learn.gateway.rewrite import request_model
from qi_learn.gateway.routes import is_cloud
from qi_learn.paths import replace_file
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)

LONGEST = 16 * 1024 * 1024
IN_THREAD = 256 * 1024
"""Above this many bytes a line is made in a thread, so that other streams go on."""
PATIENCE = 0.05
"""Seconds that the end of an answer may wait for the first look at who its client is."""
CLIENT_GONE = 499
"""Status of an exchange that the client left before there was one."""
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
    """Known at once for a routed request; else read from the request when it is recorded."""
    answered: str | None = None
    digest: str | None = None
    started: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)
    first: float | None = None
    status: int = CLIENT_GONE
    content_type: str = ""
    answer: bytearray = field(default_factory=bytearray)
    too_long: bool = False
    recorded: bool = False

    def take(self, data: bytes) -> None:
        """A piece of the answer, as the upstream sent it."""
        if self.first is None:
            self.first = time.perf_counter()
        if len(self.request) + len(self.answer) + len(data) > LONGEST:
            self.too_long = True
        else:
            self.answer += data

    def has_ended(self) -> bool:
        """Whether a reader of the stream takes it for finished now, though the connection may go
        on: its last event is complete.
        """
        if self.content_type.startswith("application/x-ndjson"):
            return self._last_object_is_done()
        if self.content_type.startswith("text/event-stream") and self.answer.endswith(b"\n\n"):
            before = self.answer.rfind(b"\n\n", 0, len(self.answer) - 2)
            return _LAST_EVENT.match(self.answer, 0 if before < 0 else before + 2) is not None
        return False

    def _last_object_is_done(self) -> bool:
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
        """Whether there is a turn in it (the module says which exchanges are none)."""
        if (
            self.too_long
            or len(self.request) > LONGEST
            or (len(self.answer) < 65536 and _NO_TURN.search(self.answer))
        ):
            return False
        if self.asked is None:
            found = request_model(self.request.decode("utf-8", "surrogateescape"))
            if found is None:
                return False
            self.asked = self.answered = found[0].value
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
    """Writes exchanges to the spool, and to a small file whether that works."""

    def __init__(self, directory: Path, status: Path, *, enabled: bool) -> None:
        self._spool = Spool(directory, "gateway")
        self._status = status
        self._enabled = enabled
        self._reason = None if enabled else "gateway.record is false"
        self._routes_problem: str | None = None
        self._told: dict[str, Any] | None = None
        self._tell()

    @property
    def enabled(self) -> bool:
        return self._enabled

    async def record(self, exchange: Exchange) -> None:
        """Writes a finished exchange.

        Never raises but for cancellation, and then the line is written all the same.
        """
        if len(exchange.request) + len(exchange.answer) > IN_THREAD:
            await asyncio.to_thread(self.record_now, exchange, cancelled=False)
        else:
            self.record_now(exchange, cancelled=False)

    def record_now(self, exchange: Exchange, *, cancelled: bool) -> None:
        """Writes an exchange once, and never raises: a broken recorder must not break traffic."""
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
                self._reason = None
        except QiError as error:
            self._reason = error.what
        except Exception:
            logger.exception("an exchange could not be recorded")
            self._reason = "an exchange could not be recorded; the gateway's log says why"
        self._tell()

    def routes_problem(self, problem: str | None) -> None:
        """What is wrong with the routes file, for `status`."""
        if problem != self._routes_problem:
            self._routes_problem = problem
            self._tell()

    def close(self) -> None:
        self._spool.close()

    def _tell(self) -> None:
        now = {
            "recording": self._reason is None,
            "reason": self._reason,
            "routes_problem": self._routes_problem,
        }
        if now == self._told:
            return
        logger.log(
            logging.INFO if now["recording"] and not self._routes_problem else logging.WARNING,
            "%s",
            now,
        )
        self._told = now
        try:
            replace_file(self._status, json.dumps(now) + "\n")
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._status, error)


class RecordedExchange:
    """The copy of one exchange: takes what passes, and is written at its end, whichever end it is."""

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

    def take(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.exchange.take(piece)

    async def finish(self) -> None:
        """The answer is whole: written before its last bytes go out."""
        if self.exchange.recorded:
            return
        if self.exchange.project is None:
            self.exchange.project = await self._clients.project(self._connection, PATIENCE)
        await self._recorder.record(self.exchange)

    def abandon(self, *, cancelled: bool) -> None:
        """No more will come: the client has left, or one of the servers."""
        if self.exchange.project is None:
            self.exchange.project = self._clients.project_now(self._connection)
        self._recorder.record_now(self.exchange, cancelled=cancelled)
