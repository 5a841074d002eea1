"""Identifiers of events and runs: ULIDs, which sort by time."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
"""What 10 bits are: an id is made of 13 of them, for every request."""


def new_id(now: float) -> str:
    """A ULID (26 characters, Crockford's base 32): 48 bits of milliseconds, 80 of chance.

    Within a process each is greater than the one before.
    """
    value = _ids.next(now)
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


class _Ids:
    """The last identifier of this process, so that the next is greater.

    A forked child starts afresh: it would count on from its parent's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._milliseconds = 0
        self._random = 0
        self._chance: Random

    def next(self, now: float) -> int:
        milliseconds = int(now * 1000)
        with self._lock:
            if self._pid != os.getpid():
                # once a process: a system call for every event would cost more than the event
                self._pid, self._milliseconds = os.getpid(), 0
                self._chance = _chance()
            if milliseconds > self._milliseconds:
                self._milliseconds, self._random = milliseconds, self._chance.getrandbits(79)
            else:
                self._random += 1
            return self._milliseconds << 80 | self._random


def _chance() -> Random:
    from random import Random  # who only reads ids draws none

    return Random(os.urandom(32))


_ids = _Ids()
