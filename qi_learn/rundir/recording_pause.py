"""`pause.json`: the times in which nothing is recorded, because a person said so.

It is written by `qi-learn pause` and `resume` alone, renamed into place, and read by everything
that records when it has changed: gateway, daemon, `run`, and the shells' hooks, which look for
`"until": ` in its one line. A pause ends by itself, because its end is written down when it begins;
nothing has to run for that. Those of the last days stay in the file: what is told late of a time in
a pause (a file's save found by a daemon that starts) is of that time. A file that cannot be read
means a pause: nothing is recorded against a person's will.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.paths import replace_file

REMEMBERED = 9 * 86400.0
"""Seconds for which a pause that is over stays in the file: longer than code is followed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing is recorded, Unix seconds."""

    since: float
    until: float = math.inf
    """Infinite: until `qi-learn resume`."""

    def holds(self, ts: float) -> bool:
        """Whether a time is in it."""
        return self.since <= ts < self.until


ALWAYS = Pause(0.0)
"""What a file that cannot be read means."""


def read_pauses(file: Path) -> tuple[Pause, ...]:
    """The pauses in the file, oldest first; none if there is no file."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        times = [*value["earlier"], [value["since"], value["until"]]]
        pauses = (Pause(float(a), math.inf if b is None else float(b)) for a, b in times)
        return tuple(pause for pause in pauses if pause.since < pause.until)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, TypeError, KeyError):
        return (ALWAYS,)


def pause_at(pauses: Sequence[Pause], ts: float) -> Pause | None:
    """The pause that a time is in, the one that ends last; None if it is in none."""
    holding = [pause for pause in pauses if pause.holds(ts)]
    return max(holding, key=lambda pause: pause.until, default=None)


def pause_now(pauses: Sequence[Pause], now: float) -> Pause | None:
    """The pause that holds now; None if none does.

    A clock that was set back ends none: the last one holds until its end, though it seems to begin
    only later.
    """
    ahead = (pause for pause in pauses[-1:] if now < pause.until)
    return pause_at(pauses, now) or next(ahead, None)


def until_text(pause: Pause) -> str:
    """`until 14:30`, with the day if that is another one; or that it has no end."""
    if math.isinf(pause.until):
        return "until `qi-learn resume`"
    then, today = time.localtime(pause.until), time.localtime()
    form = "%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return f"until {time.strftime(form, then)}"


def begin_pause(file: Path, now: float, seconds: float | None) -> Pause:
    """Pause from now on, for so long or until `end_pause`; one that holds ends here instead.

    Raises OSError if the file cannot be written.
    """
    pause = Pause(now, math.inf if seconds is None else float(math.ceil(now + seconds)))
    _write(file, _ended(read_pauses(file), now), pause)
    return pause


def end_pause(file: Path, now: float) -> bool:
    """End the pause; False if there is none. Raises OSError if the file cannot be written."""
    pauses = read_pauses(file)
    if pause_now(pauses, now) is None:
        return False
    _write(file, _ended(pauses, now), Pause(0.0, 0.0))
    return True


def _ended(pauses: Sequence[Pause], now: float) -> list[Pause]:
    """The pauses up to now, of the last days; what a clock set back left ahead is over too."""
    over = (replace(p, until=min(p.until, now)) for p in pauses if p.since < now and p != ALWAYS)
    return [pause for pause in over if pause.until > now - REMEMBERED]


def _write(file: Path, earlier: Sequence[Pause], last: Pause) -> None:
    """Write the file; the shells read only `until` of the last pause, whole seconds or null."""
    value = {
        "until": None if math.isinf(last.until) else int(last.until),
        "since": last.since,
        "earlier": [[pause.since, pause.until] for pause in earlier],
    }
    replace_file(file, json.dumps(value) + "\n")


class PauseFile:
    """The pauses as the file has them now; it is read when its time, number or size changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._name = os.fspath(file)  # looked at with every request
        self._seen: tuple[int, int, int] | None = None
        self._pauses: tuple[Pause, ...] = ()

    def at(self, ts: float) -> Pause | None:
        """The pause that a time is in; None if it is in none."""
        self.look()
        return pause_at(self._pauses, ts)

    def known_now(self, now: float) -> Pause | None:
        """The pause that holds now, by the pauses of the last look; None if none does."""
        return pause_now(self._pauses, now)

    def look(self) -> None:
        """Read the file again if it has changed."""
        try:
            status = os.stat(self._name)
        except (FileNotFoundError, NotADirectoryError):
            self._seen, self._pauses = None, ()
            return
        except OSError:
            self._seen, self._pauses = None, (ALWAYS,)
            return
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            self._seen, self._pauses = seen, read_pauses(self._file)
