"""`qi-learn daemon status`: which of the processes run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from qi_learn.daemon import client
from qi_learn.paths import Paths
from qi_learn.rundir.progress import span


@dataclass(frozen=True, slots=True)
class Process:
    """A process that listens."""

    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What `qi-learn daemon status --json` prints."""

    running: bool
    pid: int | None
    started: float | None
    starting: bool
    """Whether a daemon has begun and does not accept yet."""
    gateway: Process | None
    engine: Process | None


def gather(paths: Paths) -> DaemonStatus:
    """Look for the processes; nothing is asked."""
    state = client.running(paths)
    there = {name: Process(p.pid, p.url) for name, p in client.listening(paths).items()}
    return DaemonStatus(
        running=state is not None,
        pid=state.pid if state else None,
        started=state.started if state else None,
        starting=state is None and client.locked(paths),
        gateway=there.get("gateway"),
        engine=there.get("engine"),
    )


def as_text(found: DaemonStatus) -> str:
    """The processes for a person, one a line."""
    ago = f", for {span(time.time() - found.started)}" if found.started else ""
    daemon = "is starting" if found.starting else "not running: `qi-learn daemon start`"
    lines = [f"daemon    {f'running (pid {found.pid}){ago}' if found.running else daemon}"]
    for name, process in (("gateway", found.gateway), ("engine", found.engine)):
        if process is not None:
            alone = "" if found.running or found.starting else "; it goes on without the daemon"
            lines.append(f"{name:<9} {process.url} (pid {process.pid}){alone}")
    return "\n".join(lines)
