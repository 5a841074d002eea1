"""Several series of questions to one server at a time, which end together: where one fails, or who waits is interrupted, the others go no further."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from qi_learn.errors import Stopped
from qi_learn.outside.ollama import Answer, Ollama

T = TypeVar("T")
LOOK_SECONDS = 0.5
"""A signal that comes just before a wait begins is only seen once it has ended."""
BROKEN_OFF = "The questions were broken off."


class Asking(Ollama):
    """A client that does something before each question: it waits, or raises where there should be no more."""

    def __init__(self, base_url: str, before: Callable[[], None]) -> None:
        super().__init__(base_url)
        self.before = before

    def ask(self, ask: Mapping[str, Any], model: str) -> Answer:
        self.before()
        return super().ask(ask, model)


def side_by_side(server: Ollama, series: Sequence[Callable[[Ollama], T]], *, at_once: int) -> list[T]:
    """What each of the series returns, in order; at most `at_once` at a time, begun in order, each given a client to ask with (an `Asking` waits as
    `server` does).

    Raises what the first to fail raises, once all are at rest: each ends with the question it is at, so a stop takes as long as one answer does.
    """
    if at_once == 1:
        return [ask(server) for ask in series]
    over = threading.Event()
    faults: list[BaseException] = []

    def one(ask: Callable[[Ollama], T], client: Ollama) -> T:
        if over.is_set():
            raise Stopped(BROKEN_OFF)
        try:
            return ask(client)
        except BaseException as fault:
            faults.append(fault)  # the others' come later
            over.set()
            raise

    def go_on() -> None:
        if isinstance(server, Asking):
            server.before()
        if over.is_set():
            raise Stopped(BROKEN_OFF)

    with Asking(server.base_url, go_on) as client:
        pool = ThreadPoolExecutor(at_once, "asking")
        try:
            waiting = [pool.submit(one, ask, client) for ask in series]
            while not over.is_set() and wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                pass
            if faults:
                raise faults[0]
            return [done.result() for done in waiting]
        finally:
            over.set()
            pool.shutdown(cancel_futures=True)
