"""`gateway.record`, as the configuration has it now: it counts from the next request on.

The file is looked at with each request (its time, size and number: two microseconds) and read when
it has changed. Settings that cannot be used change nothing, and are told.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from qi_learn.errors import QiError
from qi_learn.settings_file import load_settings

logger = logging.getLogger(__name__)


class LiveRecord:
    """Whether to record."""

    def __init__(self, file: Path, *, record: bool) -> None:
        self._file = str(file)
        self._on = record
        self._seen = self._stamp()
        self.problem: str | None = None
        """Why the settings, which were changed, cannot be used."""

    @property
    def on(self) -> bool:
        """Whether to record now."""
        self.look()
        return self._on

    def look(self) -> bool:
        """Read the settings again if they have changed; whether they had."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self._read()
        return True

    @property
    def last(self) -> bool:
        """Whether to record, as the last look had it."""
        return self._on

    def _read(self) -> None:
        try:
            self._on = load_settings(Path(self._file)).gateway.record
            self.problem = None
        except QiError as error:
            self.problem = f"the changed settings cannot be used, the old ones hold: {error.what}"
            logger.warning("%s", self.problem)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._file)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)
