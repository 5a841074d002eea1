"""The gateway's side of giving way (rundir/activity.py): it tells when models are needed, and lets
requests wait while a cycle has the only GPU.

A request costs two additions, two flags and a look whether a file is there. The mark is touched by
a timer, twice a second at most and only while there is something to tell, so it is late by at most
`EVERY`.
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
"""Seconds between two looks whether requests may pass again."""


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
        """One has come."""
        self._under_way += 1
        self._news = True
        if self._timer is None:
            self._touch()

    def end(self) -> None:
        """It was answered, or its client has left."""
        self._under_way -= 1
        self._news = True

    @property
    def held(self) -> bool:
        """Whether it is worth while to ask `wait_for_release`."""
        return os.path.exists(self._hold)

    async def wait_for_release(self) -> str:
        """Returns once requests may pass: empty, or why they still may not after the longest time."""
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
        """Now, and again while requests are under way; once more after the last, so that its end
        counts.
        """
        self._news = False
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._again)
        try:
            fd = os.open(self._activity, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.utime(fd)
            finally:
                os.close(fd)
        except OSError as error:  # never in the way of traffic; told once
            if not self._failed:
                logger.warning(
                    "%s cannot be touched, so nobody sees that requests are answered: %s",
                    self._activity,
                    error,
                )
            self._failed = True

    def _again(self) -> None:
        self._timer = None
        if self._under_way or self._news:
            self._touch()
