"""Ending a daemon that hangs: by SIGTERM, and by force if it is still there after a while.

Nothing that was accepted is lost by that: all of it is in files before anything is done with it,
and the next daemon goes on from there (daemon.py). A process that is held (SIGSTOP) is let go, so
that it hears the signal.

Only the very process that `daemon.json` names, by its number and its birth, is ended. One that is
just starting or closing has no such file and is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from qi_learn.outside.listening import Listening, end_process
from qi_learn.paths import Paths

FORCE_SECONDS = 5.0
"""How long a daemon that hangs has to end by itself."""
STALE_SECONDS = 60.0
"""A loop that has not come round for so long hangs."""


def end_silent(process: Listening, tell: Callable[[str], object]) -> str:
    """End a daemon that does not do as asked; `ended` or `killed`, empty if it is not there."""
    if not process.alive:
        return ""
    tell(
        f"The daemon (pid {process.pid}) hangs: it is told to end (SIGTERM) and killed if it is "
        f"still there in {FORCE_SECONDS:.0f} s. Nothing that was recorded is lost."
    )
    return "killed" if end_process(process, FORCE_SECONDS) else "ended"


def has_stopped_turning(paths: Paths) -> bool:
    """Whether there is a daemon whose loop has not come round for a while."""
    try:
        return time.time() - paths.daemon_state.stat().st_mtime > STALE_SECONDS
    except OSError:
        return False
