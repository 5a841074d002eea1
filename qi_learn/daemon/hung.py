"""A daemon that is there and does not answer, as other processes see it."""

from __future__ import annotations

from qi_learn.daemon import client
from qi_learn.errors import DaemonError
from qi_learn.paths import Paths


def hangs(paths: Paths) -> bool:
    """Whether there is a daemon that does not answer in time; one that just starts is none."""
    return client.running(paths) is not None and not client.answers(paths)


def refuse_hung(paths: Paths) -> None:
    """Raise DaemonError if there is a daemon that does not answer."""
    if (state := client.running(paths)) is not None and not client.answers(paths):
        raise DaemonError(
            f"The daemon is there (pid {state.pid}) and does not answer: it hangs.",
            "`qi-learn daemon restart` ends it and starts another.",
        )
