"""Giving way between two steps.

A training that shares its processor with the server waits while requests are answered, and then
goes on. Only time passes: a run that paused ends with the same weights, to the last bit. Its pauses
are not counted as training. All of them together, over all processes of the run, have a limit
(`paused` in the run directory has their seconds), so that a run always comes to an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qi_learn.paths import replace_file
from qi_learn.records import Placement
from qi_learn.rundir.activity import quiet_for
from qi_learn.rundir.progress import read_progress, write_progress

LOOK_SECONDS = 0.2
PAUSED = "paused"


class Stopping:
    """The answer to whether to stop, asked between steps.

    Before it answers it waits for as long as there are requests to give way to, and time left for
    it.
    """

    def __init__(
        self,
        run: Path,
        placement: Placement | None,
        stop: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._stop = stop
        self._clock = clock
        self._activity = Path(placement.activity) if placement and placement.activity else None
        self._quiet = placement.quiet_seconds if placement else 0.0
        self._paused = _read(run / PAUSED)
        self._longest = placement.longest_pause if placement else 0.0

    def __call__(self) -> bool:
        if self._activity is not None and self._answering(self._activity):
            self._pause(self._activity)
        return self._stop()

    def _answering(self, activity: Path) -> bool:
        return (
            self._paused < self._longest
            and not self._stop()
            and quiet_for(activity, self._clock()) < self._quiet
        )

    def _pause(self, activity: Path) -> None:
        progress = read_progress(self._run)
        if progress is not None:
            write_progress(self._run, replace(progress, paused="answering"))
        while self._answering(activity):
            began = time.monotonic()
            time.sleep(LOOK_SECONDS)
            self._paused += time.monotonic() - began
        replace_file(self._run / PAUSED, f"{self._paused:.3f}\n")
        if progress is not None:
            write_progress(self._run, replace(progress, at=time.time()))


def _read(path: Path) -> float:
    """Seconds that were paused before.

    0 if they were not written or cannot be read: they only account for a courtesy.
    """
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
