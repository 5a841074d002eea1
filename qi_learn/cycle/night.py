"""The nights in which versions are compared, and how far the last one is.

A night is between `FIRST` and `LAST` o'clock, local time. The file is written by the one process
that compares (and by the daemon if that dies again and again), and renamed into place, so that what
was read in a night stays read whatever is killed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from qi_learn import codec
from qi_learn.paths import replace_file
from qi_learn.record_class import dataclass

FIRST, LAST = 1, 6


@dataclass(frozen=True, slots=True)
class Night:
    """How far a night's comparison is."""

    night: str
    """Its date."""
    tokens_read: int = 0
    told: int = 0
    """Of those, how many were told to the store; below 0 by what earlier nights did not tell."""
    done: bool = False
    """Whether nothing is left to do, or to be read in this night."""
    why: str = ""
    """Why versions were not compared, in words; empty if they were."""

    @property
    def untold(self) -> int:
        """Tokens whose cost the store does not know yet."""
        return self.tokens_read - self.told


def night_at(now: float) -> str:
    """The date of the night that a time is in; empty by day."""
    local = time.localtime(now)
    return time.strftime("%Y-%m-%d", local) if FIRST <= local.tm_hour < LAST else ""


def read_night(file: Path, night: str) -> Night:
    """What is known of a night; of another one only what was not told of it."""
    last = last_night(file)
    if last is None:
        return Night(night)
    return last if last.night == night else Night(night, told=-last.untold)


def last_night(file: Path) -> Night | None:
    """The last night in which versions were compared; None if there was none."""
    try:
        return codec.loads(Night, file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no night yet, or what a full disk left: at worst a night reads twice


def write_night(file: Path, night: Night) -> None:
    """Keep how far it is. A power failure may lose the last texts. Raises OSError."""
    replace_file(file, codec.dumps(night) + "\n", sync=False)


def end_night(file: Path, night: Night, why: str = "") -> None:
    """Nothing more is done in this night. Raises OSError."""
    write_night(file, replace(night, done=True, why=why))
