"""What was redacted already, so that what comes again costs its hash alone.

Only in memory, and bounded: what was pushed out is redacted again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from qi_learn.redact.redacted import Redacted, sealed
from qi_learn.redact.redactor import Redactor

T = TypeVar("T")


class KnownValues:
    """Redacts values, and remembers what it did by their hashes.

    `most`: how many values are known; `room`: how much of those that changed is kept, as `size`
    counts it.
    """

    def __init__(
        self, redactor: Redactor, size: Callable[[Any], int], *, most: int, room: int
    ) -> None:
        self._redactor = redactor
        self._size = size
        self._limits = most, room
        self._known: OrderedDict[str, Redacted[Any] | None] = OrderedDict()
        self._kept = 0

    def clean(self, digest: str, value: T) -> Redacted[T]:
        """The value without secrets. `digest`: its hash, which no other value has."""
        if digest in self._known:
            self._known.move_to_end(digest)
            changed = self._known[digest]
            return sealed(value) if changed is None else changed
        clean = self._redactor.clean(value)
        self._remember(digest, None if clean.value == value else clean)
        return clean

    def _remember(self, digest: str, changed: Redacted[Any] | None) -> None:
        self._known[digest] = changed
        self._kept += 0 if changed is None else self._size(changed.value)
        while len(self._known) > self._limits[0] or self._kept > self._limits[1]:
            _, oldest = self._known.popitem(last=False)
            self._kept -= 0 if oldest is None else self._size(oldest.value)
