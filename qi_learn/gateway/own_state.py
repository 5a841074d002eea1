"""What the gateway does, as it says itself: over `GET /qi/state`, and in `gateway.json`.

The answer is the truth: it comes from the process that does it, also while the disk is full. The
file is what the gateway last said, for the time when it does not answer; its time is that of the
last heartbeat, so a file of a gateway that hangs or is gone is seen to be old. A file that could
not be written is not touched either.

Turns that could not be recorded are counted on their own (rundir/lost_turns.py).
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qi_learn import __version__
from qi_learn.gateway.counters import Counters
from qi_learn.outside.listening import birth
from qi_learn.paths import Paths, home_mark, replace_file
from qi_learn.redact import Redactor
from qi_learn.rundir.lost_turns import LostTurns
from qi_learn.settings_file import changed_in_file

logger = logging.getLogger(__name__)
STATE_PATH = "/qi/state"


class GatewayState:
    """What is published; for the gateway's loop and the threads that record."""

    def __init__(
        self,
        file: Path,
        lost: LostTurns,
        *,
        clock: Callable[[], float] = time.time,
        **facts: Any,
    ) -> None:
        self._file = file
        self._clock = clock
        self._facts: dict[str, Any] = facts
        self._lost = lost
        self._written: dict[str, Any] | None = None
        self._redactor = Redactor(os.urandom(32))
        self.counters = Counters(clock)
        self._lock = threading.Lock()

    def set(self, **facts: Any) -> bool:
        """Note facts, and write them down at once if one is new; whether one was."""
        if all(key in self._facts and self._facts[key] == facts[key] for key in facts):
            return False
        self._facts.update(facts)
        self.write()
        return True

    def lose(self, reason: str) -> None:
        """Count a turn that could not be recorded; the file tells it with the next heartbeat."""
        with self._lock:
            self._lost.add(reason, self._clock())

    def snapshot(self) -> dict[str, Any]:
        """Everything that is published now."""
        return {**self._facts, **self.counters.facts(), "lost": asdict(self._lost.now)}

    def beat(self) -> None:
        """The heartbeat: write what is new, else only show that we live."""
        with self._lock:
            self._lost.catch_up()
        if self.snapshot() != self._written:
            self.write()
            return
        try:
            os.utime(self._file)
        except OSError:
            self._written = None

    def write(self) -> None:
        """Write the file; one that cannot be written stays old, and looks it."""
        snapshot = self.snapshot()
        try:
            clean = self._redactor.clean(snapshot).value  # a path or a model may be named by a key
            replace_file(self._file, json.dumps(clean) + "\n", sync=False)
            self._written = snapshot
        except (OSError, ValueError) as error:
            if self._written is not None:
                logger.warning("%s cannot be written: %s", self._file, error)
            self._written = None


def new_state(paths: Paths, *, url: str, upstream: str) -> GatewayState:
    """The state of this process, which listens at `url`."""
    return GatewayState(
        paths.gateway_status,
        LostTurns(paths.lost_turns),
        home=home_mark(paths),
        pid=os.getpid(),
        birth=birth(os.getpid()),
        version=__version__,
        started=time.time(),
        url=url,
        upstream=upstream,
        settings=changed_in_file(paths.settings_file),
    )
