"""What an agent had said and heard when it asked a model, as far as it is worth keeping.

An agent sends everything that was said before with each request, and its log holds it once. To
write it out for each answer would be quadratic: a day's transcript of 20 MB became 2 GB. So a
question is the person's prompt, the last answer with all that came after it, and of what lies
between as much as has room. What is left out so makes the question not whole, and no answer to it
is learned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ROOM = 64 * 1024
"""Characters of JSON that a question may have between its prompt and the last answer."""
Part = Literal["prompt", "answer", "other"]


@dataclass(slots=True)
class Conversation:
    """The messages so far, in the client's own form."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, message: Mapping[str, Any], part: Part) -> None:
        """Take in the next message."""
        self.messages.append(message)
        self.parts.append(part)
        self.sizes.append(len(json.dumps(message, default=str)))

    def cut(self, length: int) -> None:
        """Go back to the first so many messages: the person went on from there."""
        del self.messages[length:], self.parts[length:], self.sizes[length:]

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
        return [*head, *self.messages[tail:]]

    def _last(self, part: Part, before: int) -> int:
        return next((n for n in range(before - 1, -1, -1) if self.parts[n] == part), -1)


def texts_of(blocks: Sequence[Mapping[str, Any]]) -> str:
    """The texts of a message's parts, one after the other."""
    return "".join(b["text"] for b in blocks if isinstance(b.get("text"), str))
