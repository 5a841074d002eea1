"""Whether a child still answers, and how long one that is silent is waited for.

One that works on something long (a model that is loaded, a prompt of many tokens) uses time of the
processor, and gets a minute. One that used none from one question to the end of the next, which it
left without an answer both, hangs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from qi_learn.daemon.gateway_client import ANSWER_SECONDS, answers_at
from qi_learn.outside.cpu_time import cpu_ticks

ASK_SECONDS = 15.0
"""Seconds between two questions whether a child still answers."""
SILENT_SECONDS = 60.0
"""A child that has answered nothing for this long is killed and started again."""
IDLE_SECONDS = 6.0
"""The same for one that did nothing all the while, counted from the first question."""


@dataclass(slots=True)
class Answers:
    """When a child was last asked whether it answers, when it last did, and what it did since."""

    asked: float = float("-inf")
    well: float = float("-inf")
    idle_since: float | None = None
    """When the first question was asked that it left without an answer and did nothing; None if it
    answers, or works.
    """
    ticks: int | None = None
    """The CPU time that the child had used by then."""

    @property
    def due(self) -> bool:
        """Whether it is time for the next question: at once if the child seems to hang."""
        return self.idle_since is not None or time.monotonic() - self.asked >= ASK_SECONDS

    def ask(self, url: str | None, pid: int | None) -> float | None:
        """Ask a child; for how many seconds it was silent, if it is to be ended.

        The first time nothing is asked: it was started just now. `url`: None if it does not listen.
        """
        now, first = time.monotonic(), self.asked == float("-inf")
        self.asked = now
        ticks = None if pid is None or url is None else cpu_ticks(pid)
        if first or (url is not None and answers_at(url, timeout=ANSWER_SECONDS)):
            self.well, self.idle_since = now, None
            return None
        end = time.monotonic()
        if self.idle_since is None:
            self.idle_since, self.ticks = now, ticks
        if pid is None or ticks is None or cpu_ticks(pid) != self.ticks:
            self.idle_since = None
        hangs = self.idle_since is not None and end - self.idle_since > IDLE_SECONDS
        return end - self.well if hangs or now - self.well > SILENT_SECONDS else None
