"""What to record, as the configuration and `pause.json` have it now: from the next request on.

Both files are looked at with each request (time, size and number: two microseconds a file) and read
when they have changed. Settings that cannot be used change nothing, and are told.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from qi_learn.errors import QiError
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.paths import Paths
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings

logger = logging.getLogger(__name__)


class LiveRecord:
    """Whether to record, and what."""

    def __init__(
        self, paths: Paths, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = paths.settings_file
        self._name = str(self._file)  # looked at with every request
        self._pauses = PauseFile(paths.pause, clock, boot_clock)
        self._pauses.look()
        self._clock = clock
        self._record = settings.gateway.record
        self._unregistered = settings.capture.unregistered
        self._seen = self._stamp()
        self.problem: str | None = None
        """Why the settings, which were changed, cannot be used."""
        self._said = self._says()

    def look(self) -> bool:
        """Read settings and pauses again if they have changed; whether what holds now is new."""
        self._pauses.look()
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            self._read()
        before, self._said = self._said, self._says()
        return self._said != before

    @property
    def last(self) -> bool:
        """Whether to record, in full or in part, as the settings were at the last look."""
        return self._record is not False

    @property
    def metadata_only(self) -> bool:
        """Whether the texts are left out, likewise."""
        return self._record == "metadata"

    @property
    def unregistered(self) -> bool:
        """Whether requests from directories in no registered project are recorded, likewise."""
        return self._unregistered

    @property
    def paused(self) -> bool:
        """Whether a person has paused the recording, likewise."""
        return self._pauses.known_now(self._clock()) is not None

    def paused_since(self, started: float, seconds: float) -> bool:
        """Whether there was a pause, likewise, in what began then and took so long.

        Both by the clock as it was then and as it is now: it may have been set meanwhile.
        """
        now = self._clock()
        return self._pauses.known_between(min(started, now - seconds), max(now, started + seconds))

    def _says(self) -> tuple[object, ...]:
        return (self._record, self._unregistered, self.paused, self.problem)

    def _read(self) -> None:
        try:
            settings = load_settings(self._file)
            self._record = settings.gateway.record
            self._unregistered = settings.capture.unregistered
            self.problem = None
        except QiError as error:
            self.problem = f"the changed settings cannot be used, the old ones hold: {error.what}"
            logger.warning("%s", self.problem)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._name)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)
