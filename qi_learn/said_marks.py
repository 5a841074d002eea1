"""What was said in a request that was not to be recorded, known again by keyed hashes alone.

A client sends what was said before with each request. Of a message that came in a pause, or with
`x-qi-learn-record: 0`, the gateway keeps such a hash, and the daemon stores no turn that sends it
as history (decision 0056). A text is known again however its blanks are; one that is shorter than
`SHORTEST` is not, because `yes` is said too often.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from qi_learn.records import Message

SHORTEST = 16
"""Characters of a message from which on it is known again."""
MARK_BYTES = 16
_NOT_SAID = ("system", "developer", "prompt")
"""Roles of what no one says in a conversation; completions have no history."""


def new_marks(key: bytes, messages: Sequence[Message]) -> list[bytes]:
    """The keyed hashes of what is new in a request: all that stands behind its last answer."""
    return _marks(key, messages[_history(messages) :])


def history_marks(key: bytes, messages: Sequence[Message], known: int = 0) -> list[bytes]:
    """Those of what a request sends again, from number `known` on."""
    return _marks(key, messages[known : _history(messages)])


def _history(messages: Sequence[Message]) -> int:
    """How many messages there are up to the last answer."""
    answers = (n for n, said in enumerate(messages, 1) if said.role == "assistant")
    return max(answers, default=0)


def _marks(key: bytes, messages: Sequence[Message]) -> list[bytes]:
    said = (message for message in messages if message.role not in _NOT_SAID)
    texts = (" ".join(message.content.split()) for message in said)
    return [_mark(key, text) for text in texts if len(text) >= SHORTEST]


def _mark(key: bytes, text: str) -> bytes:
    whole = b"left out\0" + text.encode("utf-8", "surrogatepass")
    return hmac.new(key, whole, hashlib.sha256).digest()[:MARK_BYTES]
