"""A step of its own for each item: what cannot be understood is set aside, and the rest goes on.

An item is one saved file, one suggestion, one turn, one project. If its step raises what code may
raise over data of unforeseen form, that item is left out, counted and logged once, and its
neighbours are none the worse. Everything else (no database, no disk) is not about the item and is
raised.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from qi_learn.records import SetAside

logger = logging.getLogger(__name__)
NOT_UNDERSTOOD: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(RecursionError, MemoryError),
)
"""What code may raise over data of unforeseen form; UnicodeError and JSON's errors are ValueError.
"""
MOST_LOGGED = 1000
"""How many items are remembered as logged: one that fails again and again fills no disk."""


class StepGuard:
    """Runs steps that may fail alone, and counts those that did.

    `also`: what else sets an item aside, for example a database's errors about values.
    """

    def __init__(
        self,
        *,
        also: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.failures: tuple[type[Exception], ...] = (*NOT_UNDERSTOOD, *also)
        """What sets an item aside."""
        self._clock = clock
        self._counts: dict[str, SetAside] = {}
        self._logged: set[tuple[str, str]] = set()

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What was left out so far, by kind."""
        return tuple(self._counts[kind] for kind in sorted(self._counts))

    @contextmanager
    def step(self, kind: str, name: object, *also: type[Exception]) -> Iterator[None]:
        """Run the block; an error about the item, or one in `also`, sets it aside.

        `name`: which item it is, for the log.
        """
        failures: tuple[type[Exception], ...] = (*self.failures, *also)
        try:
            yield
        except failures as error:
            self.note(kind, name, error)

    def note(self, kind: str, name: object, error: BaseException) -> None:
        """Count an item that was set aside, and log it if it is the first time."""
        shown = str(name).encode("utf-8", "backslashreplace").decode()
        reason = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
        new = SetAside(kind, 1, self._clock(), shown, reason[:300])
        old = self._counts.get(kind)
        self._counts[kind] = new if old is None else replace(new, count=old.count + 1)
        if (kind, shown) not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add((kind, shown))
            logger.warning("%s %s is set aside", kind, shown, exc_info=error)
