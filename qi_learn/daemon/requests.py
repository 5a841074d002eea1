"""What is asked through the control socket: answered at once, or left for the daemon's loop.

Only the loop may start and cancel cycles.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qi_learn.codec import plain
from qi_learn.daemon.client import refusal
from qi_learn.daemon.condition import Condition
from qi_learn.daemon.renewal import Renewal
from qi_learn.daemon.upkeep import Upkeep
from qi_learn.errors import QiError
from qi_learn.records import Decision
from qi_learn.rundir.directory import RunDirectory

REPLY_SECONDS = 50.0
"""How long a request waits for the loop's reply."""

Reply = Mapping[str, Any]


class DaemonView(Protocol):
    """What the requests need of the daemon."""

    decision: Decision
    upkeep: Upkeep
    renewal: Renewal

    def stop(self) -> None: ...
    def wake(self) -> None: ...
    @property
    def condition(self) -> Condition: ...
    @property
    def run(self) -> RunDirectory | None: ...
    @property
    def gateway_url(self) -> str | None: ...
    @property
    def waiting(self) -> str: ...


class Requests:
    """`answer` is called from the control thread, `serve` from the loop."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._left: queue.SimpleQueue[tuple[str, queue.SimpleQueue[Reply]]] = queue.SimpleQueue()

    def answer(self, request: Mapping[str, Any]) -> Reply:
        """The reply to a request: it only reads, or leaves the request for the loop and waits."""
        match request.get("do"):
            case "ping":
                return {"pid": os.getpid()}
            case "status":
                return self._status()
            case "train" | "cancel" as action:
                return self._leave(action)
            case "forget":
                return self._daemon.upkeep.ask(request)
            case "stop":
                self._daemon.stop()
                return {"stopping": True}
        return {"error": f"The daemon does not know {request.get('do')!r}."}

    def _status(self) -> Reply:
        run = self._daemon.run
        return {
            "decision": plain(self._daemon.decision),
            "run": run.run_id if run else None,
            "gateway": self._daemon.gateway_url,
            "waiting": self._daemon.waiting,
            "other_version": self._daemon.renewal.other,
            "other_problem": self._daemon.renewal.problem,
            **plain(self._daemon.condition),
        }

    def _leave(self, action: str) -> Reply:
        reply: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._left.put((action, reply))
        self._daemon.wake()
        with contextlib.suppress(queue.Empty):
            return reply.get(timeout=REPLY_SECONDS)
        verb = "start" if action == "train" else "cancel"
        return {
            "error": f"The daemon is too busy to {verb} a cycle.",
            "todo": "Try again in a minute.",
        }

    def serve(self, train: Callable[[], RunDirectory], cancel: Callable[[], RunDirectory]) -> None:
        """Start and cancel cycles as was asked, and reply."""
        while not self._left.empty():
            action, reply = self._left.get()
            try:
                run = train() if action == "train" else cancel()
                reply.put({"run": run.run_id})
            except QiError as error:
                reply.put(refusal(error))
            except OSError as error:
                verb = "started" if action == "train" else "cancelled"
                what = f"The cycle could not be {verb}: {error}"
                reply.put(refusal(QiError(what, "See `qi-learn doctor`.")))
