"""What the daemon does for a home beside learning: it forgets, and lets what is old expire.

`ask` is called from the control thread, `tick` from the loop, which alone writes the database.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from typing import Any

from qi_learn import codec
from qi_learn.daemon.client import refusal
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.daemon.expiring import Expiring
from qi_learn.daemon.forgetting import GOING_ON, Forgetting, abandon
from qi_learn.errors import Busy, QiError
from qi_learn.paths import Paths
from qi_learn.records import ForgetRequest
from qi_learn.rundir.directory import RunDirectory
from qi_learn.settings import KeepSettings
from qi_learn.store.database import Store

logger = logging.getLogger(__name__)
REPLY_SECONDS = 280.0
"""How long a request waits for the loop, which looks through every text for a pattern."""

Reply = Mapping[str, Any]


class Upkeep:
    """Forgetting and expiry of one daemon."""

    def __init__(
        self,
        paths: Paths,
        keep: KeepSettings,
        cycles: CycleRunner,
        taken_away: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        """`taken_away` is called when something that was taken in is gone."""

        def cancel(run: RunDirectory) -> None:
            if run != cycles.current:
                abandon(paths, run)
            elif not run.cancelled:
                cycles.cancel()

        self._forgetting = Forgetting(paths, cancel=cancel, taken_away=taken_away)
        self._expiring = Expiring(paths, keep)
        self._wake = wake
        self._asked: queue.SimpleQueue[tuple[ForgetRequest, queue.SimpleQueue[Reply]]] = (
            queue.SimpleQueue()
        )
        self._begun = False

    @property
    def forgetting(self) -> bool:
        """Whether something is being forgotten: then no cycle starts by itself."""
        return self._forgetting.busy

    def ask(self, request: Mapping[str, Any]) -> Reply:
        """Leave a `forget` for the loop; `{"receipt": its id}` once it is written down."""
        try:
            wanted = codec.build(ForgetRequest, request.get("request"))
        except ValueError as error:
            return {"error": f"The request is not understood: {error}."}
        reply: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._asked.put((wanted, reply))
        self._wake()
        try:
            return reply.get(timeout=REPLY_SECONDS)
        except queue.Empty:
            return {"error": "The daemon is too busy to forget.", "todo": "Try again in a minute."}

    def tick(self, store: Store, now: float) -> None:
        """Begin what was asked for, and go on with what has begun."""
        if not self._begun:
            self._forgetting.resume()
            self._begun = True
        while not self._asked.empty():
            self._answer(store, *self._asked.get())
        if (receipt := self._forgetting.go_on(store, now)) is not None:
            logger.info("forgotten: %d turns, receipt %s", len(receipt.turns), receipt.id)
            self._expiring.begin_anew()
        elif self._forgetting.waits_for == GOING_ON:
            self._wake()
        if not self._forgetting.busy:
            self._expiring.tick(store, now)

    def _answer(
        self, store: Store, request: ForgetRequest, reply: queue.SimpleQueue[Reply]
    ) -> None:
        try:
            if self._forgetting.busy:
                raise Busy(
                    f"Something is being forgotten already; it waits for "
                    f"{self._forgetting.waits_for or 'the next round'}.",
                    "Try again in a minute.",
                )
            reply.put({"receipt": self._forgetting.begin(store, request).id})
        except QiError as error:
            reply.put(refusal(error))
        except OSError as error:
            reply.put(refusal(QiError(f"It could not be written down: {error}")))
