"""`qi-learn daemon status`: which of the processes run."""

from __future__ import annotations

import time

from qi_learn.daemon import client
from qi_learn.daemon.hung import ASK_SECONDS, silent_gateway
from qi_learn.outside.server_answers import server_answers
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.report.asking import at_once
from qi_learn.rundir.progress import span

PROCESSES = ("daemon", "gateway", "engine")


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
    silent: tuple[str, ...] = ()
    """Which of them are there and do not answer: they hang, or are just starting."""


def gather(paths: Paths) -> DaemonStatus:
    """Look for the processes, and ask those that are there whether they answer."""
    state = client.running(paths)
    there = {name: Process(p.pid, p.url) for name, p in client.listening(paths).items()}
    engine = there.get("engine")
    answers = at_once(
        lambda: state is None or client.answers(paths, timeout=ASK_SECONDS),
        lambda: silent_gateway(paths) is None,
        lambda: engine is None or server_answers(engine.url, timeout=ASK_SECONDS),
    )
    return DaemonStatus(
        running=state is not None,
        pid=state.pid if state else None,
        started=state.started if state else None,
        starting=state is None and client.locked(paths),
        gateway=there.get("gateway"),
        engine=there.get("engine"),
        silent=tuple(name for name, well in zip(PROCESSES, answers, strict=True) if not well),
    )


def as_text(found: DaemonStatus) -> str:
    """The processes for a person, one a line."""
    ago = f", for {span(time.time() - found.started)}" if found.started else ""
    daemon = "is starting" if found.starting else "not running: `qi-learn daemon start`"
    mute = "; it does not answer: `qi-learn daemon restart`"
    if found.running:
        daemon = f"running (pid {found.pid}){ago}{mute if 'daemon' in found.silent else ''}"
    lines = [f"daemon    {daemon}"]
    for name, process in (("gateway", found.gateway), ("engine", found.engine)):
        if process is not None:
            alone = "" if found.running or found.starting else "; it goes on without the daemon"
            hangs = mute if name in found.silent else ""
            lines.append(f"{name:<9} {process.url} (pid {process.pid}){alone}{hangs}")
    return "\n".join(lines)
