"""Whether this is a moment at which learning does not disturb the user.

Every answer is a reason, for `status`.

Idle means: for some minutes no request through the gateway and no change in a watched project (nor
has the daemon just started: then it has not seen yet what the user does), and the machine has
little else to do. A user who works all day is not waited for without end: after `idle.longest_wait`
a cycle starts all the same, and gives way between its steps. Only the battery is never emptied,
unless the settings say so.

The time since which a cycle waits is in a file, so that a daemon that is stopped every evening does
not begin to wait anew every morning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside import machine
from qi_learn.paths import Paths, replace_file
from qi_learn.rundir.activity import AHEAD, quiet_for
from qi_learn.rundir.progress import span
from qi_learn.settings import Settings


@dataclass(slots=True)
class IdleGate:
    """Holds the time since which a cycle waits; everything else is looked at anew."""

    paths: Paths
    settings: Settings
    started: float
    """The time at which the daemon started."""
    supplies: Path = machine.SUPPLIES

    def blocked_by(self, now: float, *, edited: float) -> str:
        """The reason why a cycle that could start should not start now; empty if it should.

        `edited`: the time at which a watched project last changed.
        """
        since = self._since(now)
        reason = self._reason(now, edited)
        if self._battery():
            return f"{reason or 'the machine runs on its battery'} (idle.battery)"
        left = since + self.settings.idle.longest_wait * 3600 - now
        return f"{reason}; at the latest in {span(left)}" if reason and left > 0 else ""

    def disturbs(self, now: float, *, edited: float) -> str:
        """Why what can wait for another night should not start now; empty if it may."""
        return self._reason(now, edited) or ("it is on its battery" if self._battery() else "")

    def over(self) -> None:
        """Note that no cycle waits any more: it has started, or it need not."""
        self.paths.waiting.unlink(missing_ok=True)

    @property
    def waits(self) -> bool:
        """Whether a cycle was due and found no quiet moment yet."""
        return self.paths.waiting.exists()

    def _reason(self, now: float, edited: float) -> str:
        idle = self.settings.idle
        if idle.minutes == 0:
            return ""
        quiet = quiet_for(self.paths.activity, now)
        if quiet < idle.minutes * 60:
            return f"a request was answered {_ago(quiet)} (idle.minutes = {idle.minutes:g})"
        if -AHEAD <= now - edited < idle.minutes * 60:
            return (
                f"a file of a watched project changed {_ago(now - edited)} "
                f"(idle.minutes = {idle.minutes:g})"
            )
        if -AHEAD <= now - self.started < idle.minutes * 60:
            return (
                f"the daemon started {_ago(now - self.started)} (idle.minutes = {idle.minutes:g})"
            )
        if (load := machine.load_per_core()) > idle.load:
            return f"the machine is busy: load {load:.2f} per core (idle.load = {idle.load:g})"
        return ""

    def _battery(self) -> bool:
        return not self.settings.idle.battery and machine.on_battery(self.supplies)

    def _since(self, now: float) -> float:
        """The time since which the cycle waits: now, if it does not yet or a clock was set back."""
        try:
            since = float(json.loads(self.paths.waiting.read_text(encoding="utf-8"))["since"])
        except (OSError, ValueError, TypeError, KeyError):
            since = float("inf")
        if since > now:
            replace_file(self.paths.waiting, json.dumps({"since": now}) + "\n")
            return now
        return since


def _ago(seconds: float) -> str:
    return "just now" if seconds < 10 else f"{span(seconds)} ago"
