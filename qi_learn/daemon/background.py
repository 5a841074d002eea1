"""One thread for what is slow and must not keep the daemon's loop waiting.

It computes and writes no database: what it found is fetched by the loop (`results`). A job that
fails is a result too. If the thread should die all the same, the next job starts another one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)
Key = tuple[str, str]
"""A job's kind, and what it is about."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job that ended: with a value, or with the error that it raised."""

    key: Key
    value: Any = None
    error: Exception | None = None


class Background:
    """Does jobs in order, each key once at a time. `wake` is called when a result is there."""

    def __init__(self, name: str, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self._name = name
        self._lock = threading.Condition()
        self._jobs: deque[tuple[Key, Callable[[], Any]]] = deque()
        self._keys: set[Key] = set()
        self._done: list[Done] = []
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being done, or waits to be done or fetched."""
        return bool(self._keys)

    @property
    def length(self) -> int:
        """How many jobs wait or are under way."""
        return len(self._keys)

    def has(self, key: Key) -> bool:
        """Whether the job waits, is under way, or its result was not fetched yet."""
        return key in self._keys

    def do(self, key: Key, job: Callable[[], Any]) -> None:
        """Have a job done, unless it is there already."""
        with self._lock:
            if key in self._keys or self._closed:
                return
            self._keys.add(key)
            self._jobs.append((key, job))
            self._lock.notify()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def results(self) -> list[Done]:
        """What was done since the last call."""
        with self._lock:
            done, self._done = self._done, []
            self._keys -= {each.key for each in done}
        return done

    def close(self, timeout: float = 5.0) -> None:
        """Do nothing more; a job under way has `timeout` seconds, then it is left to itself."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                key, job = self._jobs.popleft()
            try:
                done = Done(key, job())
            except Exception as error:  # noqa: BLE001 - the edge of the thread: the loop is told, and decides
                done = Done(key, error=error)
            with self._lock:
                self._done.append(done)
            self.wake()
