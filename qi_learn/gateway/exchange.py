"""One inference exchange as it is kept: the request, and what has come back so far."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from qi_learn.gateway.routes import is_cloud
from qi_learn.media_type import EVENT_STREAM, NDJSON, media_type

LONGEST = 16 * 1024 * 1024
"""Bytes of request and answer together."""
CLIENT_GONE = 499
"""Status of an exchange that the client left before it had one."""
_NO_TURN = re.compile(rb'"done_reason":"(un)?load"|"_debug_info":')
_DONE = re.compile(rb'"done"[ \t]*:[ \t]*true')
_LAST_EVENT = re.compile(
    rb"^(?:event: ?(message_stop|response\.(completed|incomplete|failed))\b|data: ?\[DONE\])",
    re.MULTILINE,
)
_EVENT_ENDS = (b"\n\n", b"\n\r\n")
"""How an event ends: an empty line behind its last, each with LF or with CRLF."""
_LONGEST_LAST = 64 * 1024
"""Bytes that are looked back for the beginning of an event."""


@dataclass(slots=True)
class Exchange:
    """One inference request and what has come back so far."""

    endpoint: str
    request: bytes
    """The request's body, decoded."""
    id: str
    """The turn's id: the client's own, if it gave one."""
    session: str | None = None
    client: str | None = None
    """The name of the client's program, as far as it gives one."""
    project: str | None = None
    """The directory that the client names; at the end the project that was found."""
    asked: str | None = None
    """The name in the request; None if it has none, or the request is no JSON object."""
    answered: str | None = None
    """The name of the model that answered."""
    digest: str | None = None
    started: float = field(default_factory=time.time)
    """Unix seconds."""
    began: float = field(default_factory=time.perf_counter)
    """The same moment on the clock that durations are measured with: the request is whole."""
    came: float | None = None
    """When its head had come, on that clock; None: as it was whole."""
    first: float | None = None
    """When the first byte of the answer came, on that clock."""
    status: int = CLIENT_GONE
    content_type: str = ""
    answer: bytearray = field(default_factory=bytearray)
    """The answer's body as the upstream sent it, decoded."""
    too_long: bool = False
    unreadable: bool = False
    """Whether the request or the answer travelled in an encoding that is not known."""
    recorded: bool = False
    not_recorded: str = ""
    """The reason why it is not to be recorded (`counters.NOT_RECORDED`); empty if it is."""
    broken: bool = False
    """Whether the answer has no end, by no doing of the client."""

    def span(self) -> tuple[float, float]:
        """When its head had come, Unix seconds, and how long that is ago."""
        came = self.began if self.came is None else self.came
        return self.started - (self.began - came), time.perf_counter() - came

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
        kind = media_type(self.content_type)
        if kind == NDJSON:
            return self._last_object_is_done()
        return kind == EVENT_STREAM and self._last_event_is_the_end()

    def _last_event_is_the_end(self) -> bool:
        """Whether the last event is whole, and says that none follows it."""
        for ends in _EVENT_ENDS:
            if self.answer.endswith(ends):
                begins = self._last_event_begins(len(self.answer) - len(ends), ends)
                return _LAST_EVENT.search(self.answer, begins) is not None
        return False

    def _last_event_begins(self, end: int, likely: bytes) -> int:
        """Where the event begins that stops at `end`; those before it mostly end in one way."""
        begins = max(0, end - _LONGEST_LAST)
        for ends in (likely, *_EVENT_ENDS):
            before = self.answer.rfind(ends, begins, end)
            begins = begins if before < 0 else before + len(ends)
        return begins

    def _last_object_is_done(self) -> bool:
        """Whether the last line of an NDJSON stream says `"done": true`."""
        if not self.answer.endswith(b"\n"):
            return False
        line = self.answer[self.answer.rfind(b"\n", 0, len(self.answer) - 1) + 1 :]
        if _DONE.search(line) is None:
            return False
        try:
            value = json.loads(line)
        except ValueError:
            return False
        return isinstance(value, dict) and value.get("done") is True

    @property
    def length(self) -> int:
        """Bytes of request and answer."""
        return len(self.request) + len(self.answer)

    def is_a_turn(self) -> bool:
        """Whether this is a turn: an answer, or a refusal, to a request that names a model.

        Not loads and unloads, renderings without an answer, redirections, and models that run
        elsewhere.
        """
        if self.asked is None or is_cloud(self.asked) or 300 <= self.status < 400:
            return False
        if self.status >= 400 and not self._asks_rightly():
            return False
        return len(self.answer) >= 65536 or not self._answers_no_question()

    def _answers_no_question(self) -> bool:
        """Whether the answer says that a model was loaded or let go, or is a mere rendering.

        What a model wrote may hold the same words; the answer's own top level counts.
        """
        if not _NO_TURN.search(self.answer):
            return False
        for line in [self.answer, *self.answer.splitlines()]:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and (
                "_debug_info" in value or value.get("done_reason") in ("load", "unload")
            ):
                return True
        return False

    def _asks_rightly(self) -> bool:
        """Whether a refused request is a JSON object at all: its name was found by a quick look."""
        try:
            return isinstance(json.loads(self.request.decode("utf-8", "replace")), dict)
        except (ValueError, RecursionError):
            return False

    def texts(self) -> dict[str, Any]:
        """What was asked and answered, for the body of its `turn` event."""
        return {
            "request": self.request.decode("utf-8", "replace"),
            "response": self.answer.decode("utf-8", "replace"),
        }

    def facts(self, *, cancelled: bool) -> dict[str, Any]:
        """The body of its `turn` event without the two texts."""
        return {
            "endpoint": self.endpoint,
            "content_type": self.content_type,
            "model_asked": self.asked,
            "model_answered": self.answered,
            "model_digest": self.digest,
            "status": self.status,
            "cancelled": cancelled,
            "broken": self.broken,
            "session": self.session,
            "client": self.client,
            "started": self.started,
            "ended": self.started + time.perf_counter() - self.began,
            "ttfb_ms": None if self.first is None else round((self.first - self.began) * 1000, 3),
        }
