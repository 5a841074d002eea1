"""`pause.json`: the times in which nothing is recorded, because a person said so.

It is written by `qi-learn pause` and `resume` alone, renamed into place, and read by everything
that records when it has changed: gateway, daemon, `run`, and the shells' hooks, which look for
`"until": ` in its one line. A pause ends by itself, because its end is written down when it begins;
nothing has to run for that. Those of the last days stay in the file: what is told late of a time in
a pause (a file's save found by a daemon that starts) is of that time. A file that cannot be read
means a pause: nothing is recorded against a person's will.

A clock that is set in a pause takes nothing out of it: with its begin the time since the system's
start is written down, which no one sets. By it the pause is known in the new clock too.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qi_learn.paths import replace_file
from qi_learn.record_class import dataclass

REMEMBERED = 9 * 86400.0
"""Seconds for which a pause that is over stays in the file: longer than code is followed."""


SLACK = 2.0
"""Seconds by which a clock may be corrected without having been set."""

Mark = tuple[str, float]
"""Which start of the system, and the seconds since then (`outside/boot_clock.py`)."""


def no_mark() -> Mark | None:
    """What is known of it if nothing is."""
    return None


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing is recorded, Unix seconds."""

    since: float
    until: float = math.inf
    """Infinite: until `qi-learn resume`."""
    mark: Mark | None = None
    """When it began."""

    def holds(self, ts: float) -> bool:
        """Whether a time is in it."""
        return self.since <= ts < self.until

    def touches(self, first: float, last: float) -> bool:
        """Whether a part of that time, ends included, is in it."""
        return self.since <= last and first < self.until

    def by_clock(self, now: float, mark: Mark | None) -> Pause:
        """The pause as the clock has it now, if it was set since.

        Set back, it began earlier, and ends when it was to. Set forward, both are later.
        """
        if self.mark is None or mark is None or mark[0] != self.mark[0]:
            return self
        since = now - (mark[1] - self.mark[1])
        if abs(by := since - self.since) <= SLACK:
            return self
        return replace(self, since=since, until=self.until + max(0.0, by))

    def by_both_clocks(self, now: float, mark: Mark | None) -> tuple[Pause, ...]:
        """The pause as it was written down, and as the clock has it now if that is another."""
        by_clock = self.by_clock(now, mark)
        return (self,) if by_clock == self else (self, by_clock)


ALWAYS = Pause(0.0)
"""What a file that cannot be read means."""


def read_pauses(file: Path) -> tuple[Pause, ...]:
    """The pauses in the file, oldest first; none if there is no file."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        times = [*value["earlier"], [value["since"], value["until"]]]
        pauses = [Pause(float(a), math.inf if b is None else float(b)) for a, b in times]
        if mark := value.get("mark"):
            pauses[-1] = replace(pauses[-1], mark=(str(mark[0]), float(mark[1])))
        return tuple(pause for pause in pauses if pause.since < pause.until)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return (ALWAYS,)


def pause_at(pauses: Sequence[Pause], ts: float) -> Pause | None:
    """The pause that a time is in, the one that ends last; None if it is in none."""
    holding = [pause for pause in pauses if pause.holds(ts)]
    return max(holding, key=lambda pause: pause.until, default=None)


def pause_now(pauses: Sequence[Pause], now: float, mark: Mark | None = None) -> Pause | None:
    """The pause that holds now; None if none does.

    A clock that was set ends none. The last one holds until its end, though it seems to begin only
    later; and for as long as it was to, though its end seems to be over.
    """
    last = [each for pause in pauses[-1:] for each in pause.by_both_clocks(now, mark)]
    ahead = (pause for pause in last if now < pause.until)
    return pause_at([*pauses, *last], now) or next(ahead, None)


def until_text(pause: Pause) -> str:
    """`until 14:30`, with the day if that is another one; or that it has no end."""
    if math.isinf(pause.until):
        return "until `qi-learn resume`"
    then, today = time.localtime(pause.until), time.localtime()
    form = "%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return f"until {time.strftime(form, then)}"


def begin_pause(file: Path, now: float, seconds: float | None, mark: Mark | None = None) -> Pause:
    """Pause from now on, for so long or until `end_pause`; one that holds ends here instead.

    Raises OSError if the file cannot be written.
    """
    until = math.inf if seconds is None else float(math.ceil(now + seconds))
    pause = Pause(now, until, mark)
    _write(file, _ended(read_pauses(file), now, mark), pause)
    return pause


def end_pause(file: Path, now: float, mark: Mark | None = None) -> bool:
    """End the pause; False if there is none. Raises OSError if the file cannot be written."""
    pauses = read_pauses(file)
    if pause_now(pauses, now, mark) is None:
        return False
    _write(file, _ended(pauses, now, mark), Pause(0.0, 0.0))
    return True


def _ended(pauses: Sequence[Pause], now: float, mark: Mark | None) -> list[Pause]:
    """The pauses up to now, of the last days; what a clock set back left ahead is over too."""
    true = (pause for pause in pauses if pause != ALWAYS)
    known = (each for pause in true for each in pause.by_both_clocks(now, mark))
    over = (replace(p, until=min(p.until, now), mark=None) for p in known if p.since < now)
    return [pause for pause in over if pause.until > now - REMEMBERED]


def _write(file: Path, earlier: Sequence[Pause], last: Pause) -> None:
    """Write the file; the shells read only `until` of the last pause, whole seconds or null."""
    value: dict[str, object] = {
        "until": None if math.isinf(last.until) else int(last.until),
        "since": last.since,
        "earlier": [[pause.since, pause.until] for pause in earlier],
    }
    if last.mark is not None:
        value["mark"] = list(last.mark)
    replace_file(file, json.dumps(value) + "\n")


class PauseFile:
    """The pauses as the file has them now; it is read when its time, number or size changes."""

    def __init__(
        self,
        file: Path,
        clock: Callable[[], float] = time.time,
        mark: Callable[[], Mark | None] = no_mark,
    ) -> None:
        self._file = file
        self._name = os.fspath(file)  # looked at with every request
        self._clock, self._mark = clock, mark
        self._seen: tuple[int, int, int] | None = None
        self._pauses: tuple[Pause, ...] = ()

    def at(self, ts: float) -> Pause | None:
        """The pause that a time is in; None if it is in none."""
        self.look()
        return pause_at(self._by_both_clocks(), ts)

    def between(self, first: float, last: float) -> bool:
        """Whether a part of that time, ends included, is in a pause."""
        self.look()
        return self.known_between(first, last)

    def known_between(self, first: float, last: float) -> bool:
        """Whether a part of that time is in a pause, by the pauses of the last look."""
        return any(pause.touches(first, last) for pause in self._by_both_clocks())

    def _by_both_clocks(self) -> tuple[Pause, ...]:
        """The pauses, and the last as the clock has it now, if it was set since it began."""
        if not self._pauses or self._pauses[-1].mark is None:
            return self._pauses
        return (*self._pauses[:-1], *self._pauses[-1].by_both_clocks(self._clock(), self._mark()))

    def known_now(self, now: float) -> Pause | None:
        """The pause that holds now, by the pauses of the last look; None if none does."""
        return pause_now(self._pauses, now, self._mark()) if self._pauses else None

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
