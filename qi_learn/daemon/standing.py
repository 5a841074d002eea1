"""Up to where each project was watched, kept in a file for the next daemon.

So what happens while no daemon runs is caught up when the next one begins to watch. The invariant:
what the file says is behind what is in the store, never ahead of it. What is told twice changes
nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from qi_learn.codec import build, dumps, read_object
from qi_learn.paths import replace_file
from qi_learn.records.watching import Stood

logger = logging.getLogger(__name__)
KEPT_SECONDS = 60.0
"""Seconds between two writings if HEAD did not move."""
LOOK_SECONDS = 1.0
"""Seconds between two looks at where the projects stand, while something happens in them."""
NEWS_SECONDS = 10.0
"""Seconds for which something happens after it was last told: files of a burst are still read."""


class Standing:
    """Remembers where projects stood; for the daemon's loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)
        self._written = dict(self._known)
        self._written_at = self._looked_at = self._news_at = float("-inf")
        self._whole = False

    def due(self, *, news: bool) -> bool:
        """Whether it is time to look again. `news`: whether something happened in a project."""
        now = time.monotonic()
        if news:
            self._news_at = now
        often = not self._whole or now - self._news_at < NEWS_SECONDS
        return now - self._looked_at >= (LOOK_SECONDS if often else KEPT_SECONDS)

    def of(self, project: Path) -> Stood | None:
        """Up to where a project was watched; None if it never was."""
        return self._known.get(str(project))

    def keep(
        self, stands: Mapping[str, Stood], *, whole: bool = False, at_once: bool = False
    ) -> None:
        """Take over where projects stand; written if HEAD moved in one, or after a while.

        `whole`: whether these are all; else it is looked again soon. Raises OSError if the disk is
        full.
        """
        self._looked_at, self._whole = time.monotonic(), whole
        self._known.update(stands)
        moved = any(
            root not in self._written or self._written[root].heads != stood.heads
            for root, stood in stands.items()
        )
        if not moved and not at_once and self._looked_at - self._written_at < KEPT_SECONDS:
            return
        if self._known != self._written:
            replace_file(self._file, dumps(self._known), sync=False)
            self._written = dict(self._known)
        self._written_at = self._looked_at


def _read(file: Path) -> dict[str, Stood]:
    try:
        return {root: build(Stood, stood) for root, stood in read_object(file).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("where the projects stood is not known: %s: %s", file, error)
        return {}
