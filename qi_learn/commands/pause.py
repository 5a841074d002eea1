"""`qi-learn pause [30m]` and `qi-learn resume`: a while in which nothing is recorded.

They need no daemon and no gateway: who records reads the file.
"""

from __future__ import annotations

import re
import time

from qi_learn.errors import SettingsError
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.paths import Paths
from qi_learn.rundir.recording_pause import begin_pause, end_pause, until_text

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(?:\d+[smhd])+", re.IGNORECASE)
LONGEST = 366 * 86400
"""A longer one is no pause: `gateway.record = false` and `init --remove` are for that."""


def parse_span(text: str) -> int:
    """Seconds of a text like `30m`, `1h30m`, `2d` or `45` (minutes). Raises SettingsError."""
    minutes = text.isascii() and text.isdigit()
    if not minutes and not _SPAN.fullmatch(text):
        raise SettingsError(
            f"{text!r} is no length of time.", "Write 30m, 2h, 1h30m or 1d; without one: no end."
        )
    pairs = [(text, "m")] if minutes else re.findall(r"(\d+)([smhd])", text.lower())
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in pairs)
    if not 0 < seconds <= LONGEST:
        bound = (
            "It is at most a year." if seconds else "It is longer than nothing: write 30m or 2h."
        )
        raise SettingsError(f"{text!r} is no length of a pause.", bound)
    return seconds


def pause(paths: Paths, span: str | None) -> str:
    """Pause for the span, or with no end; says what that means."""
    _ensure(paths)
    seconds = None if span is None else parse_span(span)
    begun = begin_pause(paths.pause, time.time(), seconds, boot_clock())
    return (
        f"Paused {until_text(begun)}. Requests pass and are answered as before; none of them is "
        "recorded, nor is what becomes of code meanwhile. A conversation that goes on afterwards "
        "is recorded once it begins anew. `qi-learn resume` ends it."
    )


def resume(paths: Paths) -> str:
    """End the pause; says what holds from now on."""
    _ensure(paths)
    if end_pause(paths.pause, time.time(), boot_clock()):
        return "Recording goes on."
    return "It was not paused."


def _ensure(paths: Paths) -> None:
    if not paths.state.exists():  # a pause of what is there may find room on a full disk
        refuse_full_home(paths)
    paths.ensure()
