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
from qi_learn.redact import KnownValues, Redacted, Redactor, merged, together
from qi_learn.store.database import Store
from qi_learn.store.tombstones import AsItCame
from qi_learn.store.turns import message_hash

MESSAGES = 20_000
"""The most messages that are known, about 300 bytes each."""
CHANGED_BYTES = 32 * 1024 * 1024
"""The most characters of redacted messages that are kept."""
LARGE = 1000
"""Characters of JSON from which on a part of a request is remembered as a whole."""
PARTS = 64
"""The most such parts that are known."""


@dataclass(frozen=True, slots=True)
class RedactedTurn:
    """A turn without secrets, and how much of its conversation is stored already."""

    turn: Redacted[Turn]
    changed: bool
    """Whether something was taken out."""
    came: AsItCame
    known: tuple[int, str] = (0, "")
    """Number of its first messages that are stored, and the hash of the last of those."""


class KnownChains:
    """Redacts turns, and remembers what it did."""

    def __init__(
        self, redactor: Redactor, *, messages: int = MESSAGES, changed: int = CHANGED_BYTES
    ) -> None:
        self._redactor = redactor
        self._messages = KnownValues(redactor, _size, most=messages, room=changed)
        self._parts = KnownValues(redactor, lambda _: 1, most=PARTS, room=PARTS)
        self._stored: OrderedDict[str, str] = OrderedDict()
        """By hash of a conversation as it came: the hash under which its last message is stored."""
        self._most = messages

    def redacted(self, store: Store, turn: Turn) -> RedactedTurn:
        """The turn without secrets."""
        prefixes = _prefixes(turn.messages)
        known = self._stored_of(store, prefixes)
        messages, tip = self._messages_of(turn.messages, prefixes, known)
        rest = self._redactor.clean(replace(turn, messages=(), request={}))
        clean = rest.having(messages=together(messages), request=self._request(turn.request))
        return RedactedTurn(clean, clean.value != turn, _as_it_came(turn, prefixes), (known, tip))

    def _stored_of(self, store: Store, prefixes: Sequence[str]) -> int:
        """How many of the first messages are known here and still in the store."""
        count = 0
        while count < len(prefixes) and prefixes[count] in self._stored:
            count += 1
        if count:
            tip = self._stored[prefixes[count - 1]]
            if store.row("SELECT 1 FROM messages WHERE hash = ?", (tip,)) is None:
                return 0
        return count

    def _messages_of(
        self, messages: Sequence[Message], prefixes: Sequence[str], known: int
    ) -> tuple[list[Redacted[Message]], str]:
        """The messages without secrets, and the stored hash of the last known one."""
        clean: list[Redacted[Message]] = []
        tip = parent = ""
        for number, (message, prefix) in enumerate(zip(messages, prefixes, strict=True)):
            clean.append(self._messages.clean(prefix, message))
            if number < known:
                self._stored.move_to_end(prefix)
                tip = parent = self._stored[prefix]
                continue
            parent = message_hash(parent, clean[-1].value)
            self._remember(prefix, parent)
        return clean, tip

    def _remember(self, prefix: str, stored: str) -> None:
        self._stored[prefix] = stored
        self._stored.move_to_end(prefix)
        while len(self._stored) > self._most:
            self._stored.popitem(last=False)

    def _request(self, request: Mapping[str, Any]) -> Redacted[Mapping[str, Any]]:
        """The parts of a request, of which the large ones (tools) come again unchanged."""
        texts = self._redactor.clean({k: v for k, v in request.items() if isinstance(v, str)})
        others = [self._part(k, v) for k, v in request.items() if not isinstance(v, str)]
        return merged([texts, *others])

    def _part(self, name: str, value: Any) -> Redacted[Mapping[str, Any]]:
        part: Mapping[str, Any] = {name: value}
        text = json.dumps([name, value], separators=(",", ":"))
        if len(text) < LARGE:
            return self._redactor.clean(part)
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()
        return self._parts.clean(digest, part)


def _prefixes(messages: Sequence[Message]) -> list[str]:
    """For each message the hash of all up to it, as they came."""
    found, parent = [], ""
    for message in messages:
        parent = message_hash(parent, message)
        found.append(parent)
    return found


def _as_it_came(turn: Turn, prefixes: Sequence[str]) -> AsItCame:
    answer = Message("assistant", turn.answer, turn.answer_extra)
    last = message_hash(prefixes[-1] if prefixes else "", answer)
    question = turn.messages[-1].content if turn.messages else ""
    return AsItCame((*prefixes, last), question, turn.answer)


def _size(message: Message) -> int:
    return len(message.content)
