"""When the daemon makes room for another version of itself: once one is installed, while idle.

Idle is: no cycle at work, no request in the last half minute, everything taken in and scored. On a
disk without room it waits too: the other version could not write its files. Then the new program is
tried (does it start at all?), and takes this process's place. One that does not start is told by
`status`, and tried again when something else is installed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import NoReturn

from qi_learn import __version__
from qi_learn.daemon.hand_over import hand_over
from qi_learn.daemon.supervisor import python
from qi_learn.errors import EXIT_TRY_AGAIN, QiError
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.outside.installed_version import InstalledVersion
from qi_learn.outside.process import run
from qi_learn.paths import Paths
from qi_learn.rundir.activity import quiet_for

logger = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
"""Seconds between two looks at what is installed."""
QUIET_SECONDS = 30.0
"""So long no request was answered: the gateway's mark moves every few seconds while one is."""
TRY_SECONDS = 120.0
"""How long the new program may take to load; the machine may be busy."""


class Renewal:
    """Looks for another version and for the moment to go over to it; for the daemon's loop."""

    def __init__(self, paths: Paths, installed: InstalledVersion | None = None) -> None:
        self._paths = paths
        self._installed = installed or InstalledVersion()
        self._looked_at = time.monotonic()
        self._failed = ""
        self.other = ""
        """The other version that is installed; empty if there is none."""
        self.problem = ""
        """Why the other version cannot take over; empty if it can."""
        self.is_due = False
        """Whether this is the moment: the daemon closes, and the other version takes over."""

    def look(self, now: float, *, idle: bool) -> bool:
        """Whether another version is installed and starts, and nothing is under way.

        `idle`: whether the daemon itself has nothing to do.
        """
        self._look()
        if not self.other or self.other == self._failed:
            return False
        if not idle or quiet_for(self._paths.activity, now) < QUIET_SECONDS:
            return False
        if not _has_room(self._paths):
            return False
        self.problem = _try(self.other)
        self._failed = self.other if self.problem else ""
        if self.problem:
            logger.error("version %s is installed and does not start: %s", self.other, self.problem)
            return False
        logger.info("version %s takes over from %s", self.other, __version__)
        self.is_due = True
        return True

    def _look(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        before, self.other = self.other, self._installed.look()
        if self.other != before:
            self._failed = self.problem = ""
            if self.other:
                logger.info("version %s is installed; it takes over at an idle moment", self.other)


def _has_room(paths: Paths) -> bool:
    try:
        refuse_full_home(paths)
    except QiError:
        return False  # `status` tells it
    return True


def _try(version: str) -> str:
    """What is wrong with the program that is installed; empty if it loads and is that version."""
    command = python("qi_learn", "--version")
    script = "import qi_learn, qi_learn.daemon.daemon; print(qi_learn.__version__)"
    command[2:] = ["-c", script]
    try:
        done = run(command, timeout=TRY_SECONDS)
    except QiError as error:
        return error.what
    if done.exit_code or done.text.strip() != version:
        last = (done.error_text or done.text).splitlines()[-1:]
        return " ".join(last) or f"exit code {done.exit_code}"
    return ""


def take_over(lock: int, port: int | None, *, service: bool) -> NoReturn:
    """Let the installed program take this process's place, with the lock and the gateway's port.

    Signals that are blocked stay so, and reach the new program when it lets them in.
    If that cannot be, leave with the code on which a service is started again.
    """
    hand_over(lock=lock, port=port)
    words = ["daemon", "--gateway-service"] if service else ["daemon"]
    command = python("qi_learn", *words)
    try:
        os.execv(command[0], command)
    except OSError as error:
        logger.error("%s cannot be started: %s", command[0], error)
        sys.exit(EXIT_TRY_AGAIN)
