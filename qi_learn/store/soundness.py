"""Whether a large database is sound, found beside the work: reading it through takes seconds.

The invariant: from the moment on that damage is known, whoever asks is told, again each time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qi_learn.errors import QiError
from qi_learn.store.database import CHECKED_AT_ONCE, checking

logger = logging.getLogger(__name__)


class Soundness:
    """Looks through one database, once, in a thread; a small one was when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closed = threading.Event()
        self._break_off: Callable[[], None] = lambda: None
        self._damage: QiError | None = None
        self._thread: threading.Thread | None = None
        if path.stat().st_size > CHECKED_AT_ONCE:
            self._thread = threading.Thread(target=self._look, name="soundness", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        try:
            with checking(self._path) as (check, break_off):
                self._break_off = break_off
                if not self._closed.is_set():
                    check()
        except QiError as error:
            if not self._closed.is_set():
                logger.error("%s %s", error.what, error.hint)
                self._damage = error

    @property
    def busy(self) -> bool:
        """Whether it is still looked through."""
        return self._thread is not None and self._thread.is_alive()

    def require(self) -> None:
        """Raise StoreError if damage was found."""
        if self._damage is not None:
            raise self._damage

    def close(self) -> None:
        """Break the look off if it is under way."""
        self._closed.set()
        while self._thread is not None and self._thread.is_alive():
            with suppress(sqlite3.ProgrammingError):  # it was over just now
                self._break_off()
            self._thread.join(0.1)
