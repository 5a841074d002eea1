"""Several series of questions to one server at a time, which end together.

If one series fails, or the wait for them is interrupted, the others go no further.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, TypeVar

from qi_learn.errors import Stopped
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_answer import Answer

T = TypeVar("T")
LOOK_SECONDS = 0.5
"""Longest time of one wait, in seconds: a signal that comes just before a wait is seen after it."""
BROKEN_OFF = "The questions were broken off."

Stop = Callable[[], None]
"""Raises if nothing more is to be asked."""
Wait = Callable[[Stop], None]
"""Returns once the next question may be asked. Until then it calls the stop every so often."""


def no_wait(stop: Stop) -> None:
    """Wait for nothing: the questions give way to no request."""


class Asking(Ollama):
    """A client that waits before each question, and asks nothing more once `stop` raises."""

    def __init__(self, base_url: str, wait: Wait = no_wait, stop: Stop = lambda: None) -> None:
        super().__init__(base_url)
        self._wait = wait
        self._stop = stop
        self._waited = threading.local()

    def ask(self, ask: Mapping[str, Any], model: str) -> Answer:
        self._stop()
        began = time.monotonic()
        self._wait(self._stop)
        self._waited.seconds = time.monotonic() - began + getattr(self._waited, "seconds", 0.0)
        return super().ask(ask, model)

    def clock(self) -> float:
        """Monotonic seconds without those that this thread has waited.

        The clock for a limit on questions.
        """
        return time.monotonic() - float(getattr(self._waited, "seconds", 0.0))


def side_by_side(
    server: Ollama, series: Sequence[Callable[[Asking], T]], *, at_once: int, wait: Wait = no_wait
) -> list[T]:
    """What each of the series returns, in order.

    At most `at_once` run at a time, begun in order. Each is given a client to ask with, which waits
    as `wait` does. Raises what the first series to fail raises, once all are at rest: each ends
    with the question it is at, so a stop takes as long as one answer does.
    """
    if at_once == 1:
        with Asking(server.base_url, wait) as client:
            try:
                return [ask(client) for ask in series]
            finally:
                server.add_used(client.used)
    over = threading.Event()
    faults: list[BaseException] = []

    def stop() -> None:
        if over.is_set():
            raise Stopped(BROKEN_OFF)

    def one(ask: Callable[[Asking], T], client: Asking) -> T:
        stop()
        try:
            return ask(client)
        except BaseException as fault:
            faults.append(fault)  # the others' come later
            over.set()
            raise

    with Asking(server.base_url, wait, stop) as client:
        pool = ThreadPoolExecutor(at_once, "asking")
        try:
            waiting = [pool.submit(one, ask, client) for ask in series]
            while (
                not over.is_set()
                and wait_for(waiting, timeout=LOOK_SECONDS, return_when=FIRST_EXCEPTION).not_done
            ):
                pass
            if faults:
                raise faults[0]
            return [done.result() for done in waiting]
        finally:
            over.set()
            pool.shutdown(cancel_futures=True)
            server.add_used(client.used)
