"""The gateway's side of giving way (the files of `rundir/activity.py`).

It marks that models are needed, and lets requests wait while a cycle has the only GPU. A request
costs two additions, two flags and a look whether a file is there. A timer touches the mark, twice a
second at most and only while there is news, so the mark is late by at most `EVERY`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from qi_learn.rundir.activity import held

logger = logging.getLogger(__name__)
EVERY = 0.5
"""Seconds between two touches."""
LOOK = 0.1
"""Seconds between two checks whether requests may pass again."""


class Admission:
    """Counts the requests under way that need a model. Called on the gateway's loop only."""

    def __init__(self, activity: Path, hold: Path, *, longest_hold: float) -> None:
        self._activity = activity
        self._hold = str(hold)
        self._longest_hold = longest_hold
        self._under_way = 0
        self._news = False
        """A request came or ended since the last touch."""
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False

    def begin(self) -> None:
        """Count a request that has come."""
        self._under_way += 1
        self._news = True
        if self._timer is None:
            self._touch()

    def end(self) -> None:
        """Count a request that was answered, or whose client has left."""
        self._under_way -= 1
        self._news = True

    @property
    def held(self) -> bool:
        """Whether a cycle may hold requests back: then `wait_for_release` tells."""
        return os.access(self._hold, os.F_OK)  # no error is made for the file that is not there

    async def wait_for_release(self) -> str:
        """Wait until requests may pass.

        Returns an empty text, or the reason why they still may not after the longest wait.
        """
        deadline = time.monotonic() + self._longest_hold
        while (reason := held(Path(self._hold))) is not None:
            if time.monotonic() >= deadline:
                return f"{reason} This request waited {self._longest_hold:.0f} s."
            await asyncio.sleep(LOOK)
        return ""

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _touch(self) -> None:
        """Touch the mark now, and again while requests are under way.

        It is touched once more after the last request, so that the end of that one counts.
        """
        self._news = False
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._again)
        try:
            fd = os.open(self._activity, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.utime(fd)
            finally:
                os.close(fd)
        except OSError as error:  # never in the way of traffic, and logged once
            if not self._failed:
                logger.warning(
                    "%s cannot be touched, so no cycle sees that requests are answered: %s",
                    self._activity,
                    error,
                )
            self._failed = True

    def _again(self) -> None:
        self._timer = None
        if self._under_way or self._news:
            self._touch()
