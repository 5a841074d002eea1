"""What was redacted already, so that a conversation that comes again costs only its new tail.

A client sends its whole history with every request. Each message is known here by the hash of all
that was sent up to it, as it came; with it goes the hash under which its redacted form is stored,
and that form if it is another one. The invariant: what comes out is what redacting from the start
gives. It holds because a message is redacted without looking at its neighbours. Only in memory, and
bounded: what was pushed out is redacted again.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qi_learn.records import Message, Turn
from qi_learn.redact import Redactor
from qi_learn.store.database import Store
from qi_learn.store.turns import message_hash

MESSAGES = 20_000
"""The most messages that are known, about 300 bytes each."""
CHANGED_BYTES = 32 * 1024 * 1024
"""The most characters of redacted messages and values that are kept."""
LARGE = 1000
"""Characters of JSON from which on a part of a request is remembered as a whole."""


@dataclass(frozen=True, slots=True)
class RedactedTurn:
    """A turn without secrets, and how much of its conversation is stored already."""

    turn: Turn
    changed: bool
    """Whether something was taken out."""
    known: tuple[int, str] = (0, "")
    """Number of its first messages that are stored, and the hash of the last of those."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A message that was redacted: its hash in the store, and what it became if it changed."""

    stored: str
    changed: Message | None


class KnownChains:
    """Redacts turns, and remembers what it did."""

    def __init__(
        self, redactor: Redactor, *, messages: int = MESSAGES, changed: int = CHANGED_BYTES
    ) -> None:
        self._redactor = redactor
        self._limits = messages, changed
        self._messages: OrderedDict[str, _Known] = OrderedDict()
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0

    def redacted(self, store: Store, turn: Turn) -> RedactedTurn:
        """The turn without secrets."""
        prefixes = _prefixes(turn.messages)
        known = self._stored(store, prefixes)
        messages, tip = self._messages_of(turn.messages, prefixes, known)
        rest = self._redactor.turn(replace(turn, messages=(), request={}))
        clean = replace(rest, messages=messages, request=self._request(turn.request))
        return RedactedTurn(clean, clean != turn, (known, tip))

    def _stored(self, store: Store, prefixes: Sequence[str]) -> int:
        """How many of the first messages are known here and still in the store."""
        count = 0
        while count < len(prefixes) and prefixes[count] in self._messages:
            count += 1
        if count:
            tip = self._messages[prefixes[count - 1]].stored
            if store.row("SELECT 1 FROM messages WHERE hash = ?", (tip,)) is None:
                return 0
        return count

    def _messages_of(
        self, messages: Sequence[Message], prefixes: Sequence[str], known: int
    ) -> tuple[tuple[Message, ...], str]:
        """The messages without secrets, and the stored hash of the last known one."""
        clean: list[Message] = []
        tip = parent = ""
        for number, (message, prefix) in enumerate(zip(messages, prefixes, strict=True)):
            if number < known:
                entry = self._messages[prefix]
                self._messages.move_to_end(prefix)
                clean.append(entry.changed or message)
                tip = parent = entry.stored
                continue
            redacted = self._message(message)
            parent = message_hash(parent, redacted)
            self._remember(prefix, _Known(parent, None if redacted == message else redacted))
            clean.append(redacted)
        return tuple(clean), tip

    def _message(self, message: Message) -> Message:
        text, extra = self._redactor.text(message.content), self._redactor.value(message.extra)
        return Message(message.role, text, extra)

    def _remember(self, prefix: str, known: _Known) -> None:
        self._forget(prefix)
        self._messages[prefix] = known
        self._bytes += _size(known)
        while len(self._messages) > self._limits[0] or self._bytes > self._limits[1]:
            self._forget(next(iter(self._messages)))

    def _forget(self, prefix: str) -> None:
        if (old := self._messages.pop(prefix, None)) is not None:
            self._bytes -= _size(old)

    def _request(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parts of a request, of which the large ones (tools) come again unchanged."""
        clean = self._redactor.value({k: v for k, v in request.items() if isinstance(v, str)})
        parts = {k: clean[k] if k in clean else self._part(k, v) for k, v in request.items()}
        return parts if parts != request else request

    def _part(self, name: str, value: Any) -> Any:
        text = json.dumps(value, separators=(",", ":"))
        if len(text) < LARGE:
            return self._redactor.value({name: value})[name]
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()
        if digest not in self._values:
            redacted = self._redactor.value(value)
            self._values[digest] = None if redacted == value else redacted
        self._values.move_to_end(digest)
        while len(self._values) > 64:
            self._values.popitem(last=False)
        kept = self._values[digest]
        return value if kept is None else kept


def _prefixes(messages: Sequence[Message]) -> list[str]:
    """For each message the hash of all up to it, as they came."""
    found, parent = [], ""
    for message in messages:
        parent = message_hash(parent, message)
        found.append(parent)
    return found


def _size(known: _Known) -> int:
    return 0 if known.changed is None else len(known.changed.content)
