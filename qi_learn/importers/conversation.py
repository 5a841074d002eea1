"""What an agent had said and heard when it asked a model, as far as it is worth keeping.

An agent sends everything that was said before with each request, and its log holds it once. To
write it out for each answer would be quadratic: a day's transcript of 20 MB became 2 GB. So a
question is the person's prompt, the last answer with all that came after it, and of what lies
between as much as has room. What is left out so makes the question not whole, and no answer to it
is learned. Nor is it kept in memory: of what lies further back than any question reaches only the
prompts stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ROOM = 64 * 1024
"""Characters of JSON that a question may have between its prompt and the last answer."""
KEPT = 4 * 1024 * 1024
"""Characters of JSON that are kept of the newest messages, and may be gone back to."""
_GONE: Mapping[str, Any] = {}
Part = Literal["prompt", "answer", "other"]


@dataclass(slots=True)
class Conversation:
    """The messages so far, in the client's own form."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _kept: int = 0
    """Characters of what is kept, prompts aside."""
    _oldest: int = 0
    """The first message of which it is not certain that it is gone."""

    def add(self, message: Mapping[str, Any], part: Part) -> None:
        """Take in the next message."""
        self.messages.append(message)
        self.parts.append(part)
        self.sizes.append(len(json.dumps(message, default=str)))
        if part != "prompt":
            self._kept += self.sizes[-1]
        while self._kept > KEPT and self._oldest < len(self.messages) - 1:
            self._leave(self._oldest)
            self._oldest += 1

    def _leave(self, place: int) -> None:
        """Keep nothing of a message; a question ends where it stood."""
        if self.parts[place] != "prompt":
            self._kept -= self.sizes[place]
            self.messages[place], self.sizes[place] = _GONE, ROOM + 1

    def cut(self, length: int) -> None:
        """Go back to the first so many messages: the person went on from there."""
        begin = max(length, self._oldest)
        pairs = zip(self.parts[begin:], self.sizes[begin:], strict=True)
        self._kept -= sum(size for part, size in pairs if part != "prompt")
        del self.messages[length:], self.parts[length:], self.sizes[length:]
        self._oldest = min(self._oldest, length)

    def question(self) -> list[Mapping[str, Any]]:
        """The messages of the next request."""
        prompt = self._last("prompt", len(self.parts))
        begin = max(prompt, 0)
        tail = max(self._last("answer", len(self.parts)), begin)
        room = ROOM
        while tail > begin and self.sizes[tail - 1] <= room:
            tail -= 1
            room -= self.sizes[tail]
        head = [self.messages[prompt]] if prompt >= 0 and tail > prompt else []
        return [*head, *(m for m in self.messages[tail:] if m is not _GONE)]

    def recent(self) -> list[Mapping[str, Any]]:
        """The messages of a request of which the newest is its prompt, as far back as has room."""
        tail, room = max(len(self.messages) - 1, 0), ROOM
        while tail > 0 and self.sizes[tail - 1] <= room:
            tail -= 1
            room -= self.sizes[tail]
        return self.messages[tail:]

    def _last(self, part: Part, before: int) -> int:
        return next((n for n in range(before - 1, -1, -1) if self.parts[n] == part), -1)


def texts_of(blocks: Sequence[Mapping[str, Any]]) -> str:
    """The texts of a message's parts, one after the other."""
    return "".join(b["text"] for b in blocks if isinstance(b.get("text"), str))
