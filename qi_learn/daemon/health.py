"""How the parts of the daemon's round go: each in its own guarded step.

A part that fails is tried again in the next round and keeps no other waiting. One that has failed
for a minute is a fault, which `qi-learn status` shows in red; so is at once what cannot pass by
itself. A lasting fault is logged once with its traceback, then once a minute.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)
FAULT_SECONDS = 60.0
"""A part that has failed for this long is a fault; also the seconds between two log lines on it."""
ROUNDS = 600
"""How many rounds the longest is told of."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A part that does not do its work."""

    part: str
    what: str
    seconds: float
    """How long it has not."""


@dataclass(slots=True)
class _Failing:
    since: float
    said_at: float
    text: str
    certain: bool


class Health:
    """What is known of the parts. The loop writes, any thread reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: dict[str, _Failing] = {}
        self._now: tuple[str, float] = ("", clock())
        self._rounds: deque[float] = deque(maxlen=ROUNDS)
        self.rounds = 0
        """How many were made."""

    def step(self, part: str, action: Callable[[], object], *, certain: bool = False) -> bool:
        """Do one part's work; whether it went well. Nothing but an exit comes out of it.

        `certain`: if it fails, that does not pass by itself, so it is a fault at once.
        """
        self._now = (part, self._clock())
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the edge of the daemon's loop: a fault of one part must not stop the others
            self._note(part, error, certain)
            return False
        finally:
            self._now = ("", self._clock())
        self._failing.pop(part, None)
        return True

    def _note(self, part: str, error: Exception, certain: bool) -> None:
        now, text = self._clock(), f"{type(error).__name__}: {error}"
        known = self._failing.get(part)
        if known is None or known.text != text:
            logger.error("%s failed and is tried again", part, exc_info=error)
        elif now - known.said_at < FAULT_SECONDS:
            return
        else:
            logger.error("%s still fails: %s", part, text)
        since = now if known is None else known.since
        self._failing[part] = _Failing(since, now, text, certain)

    def round_took(self, seconds: float) -> None:
        """Note how long a whole round took."""
        self._rounds.append(seconds)
        self.rounds += 1

    @property
    def longest_round(self) -> float:
        """The longest of the last rounds, seconds."""
        return max(tuple(self._rounds), default=0.0)

    @property
    def doing(self) -> tuple[str, float]:
        """The part at work and for how many seconds; an empty name while the loop sleeps."""
        part, since = self._now
        return part, self._clock() - since if part else 0.0

    def faults(self) -> tuple[Fault, ...]:
        """The parts that have failed, or have been busy with one thing, for a minute.

        Those that fail for certain are told at once.
        """
        now = self._clock()
        failed = [
            Fault(part, failing.text, now - failing.since)
            for part, failing in tuple(self._failing.items())
            if failing.certain or now - failing.since >= FAULT_SECONDS
        ]
        part, busy = self.doing
        if busy >= FAULT_SECONDS:
            failed.append(Fault(part, "it is at one thing and does not come to an end", busy))
        return tuple(failed)
