"""`daemon.json`: where the daemon is and with what it was started; its time is the heartbeat.

It is written when it changes. In between only its time moves, by the daemon's own loop: a loop that
hangs leaves an old file behind. On a full disk its time still moves, and what it says stays true.
"""

from __future__ import annotations

import os
import time

from qi_learn import __version__
from qi_learn.codec import dumps
from qi_learn.daemon.client import DaemonState
from qi_learn.deploy.model_server import ModelServer
from qi_learn.outside.listening import birth
from qi_learn.paths import Paths, replace_file
from qi_learn.settings_file import changed_in_file

BEAT_SECONDS = 5.0
"""Seconds between two heartbeats."""


class PublishedState:
    """What the daemon publishes of itself; for its loop."""

    def __init__(self, paths: Paths) -> None:
        self._file = paths.daemon_state
        self._settings = changed_in_file(paths.settings_file)
        self._gateway: str | None = None
        self._started = 0.0
        self._beat_at = float("-inf")

    def publish(self, gateway: str | None, server: ModelServer, now: float) -> bool:
        """Write what is new, else show every few seconds that we live; whether this was done.

        A gateway that is down keeps the address it had. Raises OSError if the disk is full.
        """
        monotonic = time.monotonic()
        known = gateway or self._gateway or ""
        if known != self._gateway:
            self._started = self._started or now
            self._write(known, server)
            self._gateway, self._beat_at = known, monotonic
            return True
        if monotonic - self._beat_at < BEAT_SECONDS:
            return False
        self._beat_at = monotonic
        os.utime(self._file)
        return True

    def _write(self, gateway: str, server: ModelServer) -> None:
        pid = os.getpid()
        state = DaemonState(
            pid,
            gateway,
            server.url,
            server.engine,
            self._started,
            birth(pid),
            __version__,
            self._settings,
        )
        replace_file(self._file, dumps(state) + "\n")
