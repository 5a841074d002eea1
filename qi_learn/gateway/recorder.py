"""The copy: what goes through the gateway becomes one `turn` event in the spool.

Two invariants. The event is in the spool before the last bytes of the answer go to the client, so a
finished stream survives `kill -9`. And recording never touches traffic: a failure here is reported
once in `gateway.json`, and exchanges go on without a copy until writing works again.

Not recorded: headers (they carry credentials), models that run elsewhere, loads and unloads,
renderings without an answer, redirections, and (counted, `counters.py`) exchanges above `LONGEST`
bytes and in encodings that are not known. Nor what is not to be, counted by its reason
(`NOT_RECORDED`): marked by the header `x-qi-learn-record`, in a pause, of another user, of a client
that has left before it was known whose it is, from no registered project. A refused request (4xx,
5xx) is recorded with its status if it was a JSON object with a model, because an error rate is
worth knowing. A request that was not even that teaches nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from multidict import MultiMapping

from qi_learn.errors import QiError, SpoolError
from qi_learn.gateway.bare_facts import bare_facts
from qi_learn.gateway.client_project import ClientProjects
from qi_learn.gateway.counters import Counters
from qi_learn.gateway.exchange import LONGEST, Exchange
from qi_learn.gateway.left_out import LeftOutMarks
from qi_learn.gateway.live_settings import LiveRecord
from qi_learn.gateway.long_line import long_line
from qi_learn.gateway.origin import Origin
from qi_learn.gateway.own_state import GatewayState
from qi_learn.records import Event
from qi_learn.spool import Spool, frame

logger = logging.getLogger(__name__)

SOURCE = "gateway"
RECORD_HEADER = "x-qi-learn-record"
_YES = ("1", "true", "yes", "on")
IN_THREAD = 256 * 1024
"""Bytes above which a line is made in a thread, so that other streams go on."""
PATIENCE = 0.05
"""Seconds that the end of an answer may wait for the first look at where it was asked."""


class Recorder:
    """Writes exchanges to the spool, and how that goes to the gateway's state."""

    def __init__(self, directory: Path, state: GatewayState, live: LiveRecord, key: Path) -> None:
        """`key`: the file of the home's key, under which what is left out is known again."""
        self._spool = Spool(directory, SOURCE)
        self._left = LeftOutMarks(self._spool, key)
        self._state = state
        self._live = live
        self._failure: str | None = None
        self._routes_problem: str | None = None
        self.report()

    @property
    def counters(self) -> Counters:
        """What is counted on the way."""
        return self._state.counters

    async def wants(self, headers: MultiMapping[str], exchange: Exchange) -> bool:
        """Whether a request is to be recorded, as far as it is known now; counted if it is not."""
        now = self._not_now()
        if reason := "asked" if _asks_not_to(headers) else now:
            self.counters.not_recorded(reason)
            if exchange.length > IN_THREAD:
                await asyncio.to_thread(self._leave, exchange, reason)
            else:
                self._leave(exchange, reason)
        return not reason

    def _leave(self, exchange: Exchange, reason: str) -> None:
        """Write down by what a request that a person wants left out is known again."""
        if reason in ("asked", "paused"):
            self._left.mark(exchange)

    def _not_now(self) -> str:
        """The reason why nothing is recorded now, one of `NOT_RECORDED`; empty if it is."""
        self.look()
        if not self._live.last:
            return "off"
        return "paused" if self._live.paused else ""

    async def record(self, exchange: Exchange) -> None:
        """Write a finished exchange.

        Raises nothing but cancellation, and then the line is written all the same.
        """
        if exchange.length > IN_THREAD:
            await asyncio.to_thread(self.record_now, exchange, cancelled=False)
        else:
            self.record_now(exchange, cancelled=False)

    def record_now(self, exchange: Exchange, *, cancelled: bool) -> None:
        """Write an exchange once, and never raise: a broken recorder must not break traffic."""
        if exchange.recorded:
            return
        exchange.recorded = True
        try:
            if not self._left_out(exchange) and exchange.is_a_turn():
                self._keep(exchange, cancelled=cancelled)
        except QiError as error:
            self._lose(error.what)
        except Exception:  # the edge that keeps recording away from traffic: logged, and reported
            logger.exception("an exchange could not be recorded")
            self._lose("an exchange could not be recorded; the gateway's log says why")
        self.report()

    def _keep(self, exchange: Exchange, *, cancelled: bool) -> None:
        """Write a turn, unless it is not to be recorded. Raises SpoolError."""
        if reason := exchange.not_recorded or self._not_now() or self._paused_meanwhile(exchange):
            self.counters.not_recorded(reason)
            self._leave(exchange, reason)
            return
        self._append(exchange, cancelled=cancelled)
        self._failure = None
        self.counters.count("recorded")

    def _paused_meanwhile(self, exchange: Exchange) -> str:
        """`paused` if a pause began and ended while the exchange went on, or its body came."""
        return "paused" if self._live.paused_since(*exchange.span()) else ""

    def _lose(self, reason: str) -> None:
        self._failure = reason
        self._state.lose(reason)

    def _append(self, exchange: Exchange, *, cancelled: bool) -> None:
        """Write the turn to the spool. Raises SpoolError."""
        bare = self._live.metadata_only
        long = exchange.length > IN_THREAD and not bare
        if long and self._failure is not None and not self._spool.has_room(exchange.length):
            raise SpoolError(self._failure, "Make room on the disk.")
        facts = exchange.facts(cancelled=cancelled)
        body = facts | (bare_facts(exchange.answer) if bare else {} if long else exchange.texts())
        event = Event(exchange.id, "turn", time.time(), SOURCE, body, "model", exchange.project)
        texts: dict[str, bytes | bytearray] = {
            "request": exchange.request,
            "response": exchange.answer,
        }
        self._spool.append_event(event, (lambda e: long_line(e, texts)) if long else frame)

    def routes_problem(self, problem: str | None) -> None:
        """Note what is wrong with the routes file, for `status`."""
        if problem != self._routes_problem:
            self._routes_problem = problem
            self.report()

    def close(self) -> None:
        """Write the last counts down, and let go of the spool's file."""
        self._state.beat()
        self._spool.close()

    def _left_out(self, exchange: Exchange) -> bool:
        """Whether an exchange cannot be recorded; it is counted then."""
        if exchange.unreadable:
            self.counters.count("unreadable")
        elif exchange.too_long or len(exchange.request) > LONGEST:
            self.counters.count("too_long")
        else:
            return False
        return True

    def look(self) -> None:
        """Look whether the settings have changed, and publish how recording goes if it has."""
        if self._live.look():
            self.report()

    def report(self) -> None:
        """Publish and log how recording goes, if that has changed."""
        reason = self._failure if self._live.last else "gateway.record is false"
        if self._live.paused:
            reason = "paused"
        facts = {
            "recording": reason is None,
            "reason": reason,
            "metadata_only": self._live.metadata_only,
            "routes_problem": self._routes_problem,
            "settings_problem": self._live.problem,
        }
        if self._state.set(**facts):
            well = reason in (None, "paused") and not self._routes_problem
            logger.log(logging.INFO if well else logging.WARNING, "%s", facts)


def _asks_not_to(headers: MultiMapping[str]) -> bool:
    """Whether a request is not to be recorded: all but a clear yes says so."""
    if RECORD_HEADER not in headers:
        return False
    return any(said.strip().lower() not in _YES for said in headers.getall(RECORD_HEADER))


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
        self._named = exchange.project
        self._abandoned = False
        clients.look_up(connection)

    def begin(self, status: int, content_type: str) -> None:
        """Note how the answer begins."""
        self.exchange.status, self.exchange.content_type = status, content_type

    def take(self, pieces: list[bytes]) -> None:
        """Keep some pieces of the answer."""
        for piece in pieces:
            if piece:
                self.exchange.take(piece)

    async def finish(self) -> None:
        """Write the copy of a whole answer. Called before the answer's last bytes go out."""
        if self.exchange.recorded:
            return
        self._comes_from(await self._clients.origin(self._connection, self._named, PATIENCE))
        await self._recorder.record(self.exchange)

    def abandon(self, *, cancelled: bool) -> None:
        """Write the copy of what came: the client has left, or one of the servers.

        Of a client that has left not before it was looked up whose it was.
        """
        if self._abandoned:
            return
        self._abandoned = True
        self.exchange.broken = not cancelled
        if cancelled:
            self._clients.when_known(self._connection, lambda: self._write(cancelled=True))
        else:
            self._write(cancelled=False)

    def _write(self, *, cancelled: bool) -> None:
        self._comes_from(self._clients.origin_now(self._connection, self._named))
        self._recorder.record_now(self.exchange, cancelled=cancelled)

    def _comes_from(self, origin: Origin) -> None:
        self.exchange.project, self.exchange.not_recorded = origin.project, origin.left_out
