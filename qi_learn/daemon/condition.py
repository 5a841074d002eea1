"""How the daemon is, as it tells over its socket: faults, projects, and how its rounds go."""

from __future__ import annotations

from dataclasses import dataclass

from qi_learn.daemon.health import Fault, Health
from qi_learn.daemon.intake import Intake
from qi_learn.daemon.servers import Servers
from qi_learn.records.set_aside import SetAside
from qi_learn.records.watching import WatchState


@dataclass(frozen=True, slots=True)
class Condition:
    """What `qi-learn status` asks the daemon for."""

    faults: tuple[Fault, ...]
    """Parts that do not do their work, and children that are down."""
    projects: tuple[WatchState, ...]
    """Every registered project: watched, polled, blind, or still being read."""
    set_aside: tuple[SetAside, ...]
    """What could not be understood and was left out of the evidence, by kind."""
    rounds: int
    """How many rounds the loop has made: before the first no project is taken up."""
    longest_round: float
    """The longest of the last rounds of the loop, seconds."""
    doing: str
    """The part that is at work now; empty while the loop sleeps."""
    doing_seconds: float


def condition_of(health: Health, servers: Servers, intake: Intake) -> Condition:
    """The condition now; any thread may ask."""
    part, seconds = health.doing
    down = tuple(Fault(name, what, 0.0) for name, what in servers.down)
    watcher = () if intake.watcher.alive else (Fault("watching", WATCHER_ENDED, 0.0),)
    return Condition(
        (*down, *watcher, *health.faults()),
        intake.watching(),
        intake.set_aside,
        health.rounds,
        health.longest_round,
        part,
        seconds,
    )


WATCHER_ENDED = "the watcher's reader has ended; it is made anew"
