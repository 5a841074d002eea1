"""A daemon that is there and does not answer, as other processes see it."""

from __future__ import annotations

from qi_learn.daemon import client
from qi_learn.errors import DaemonError
from qi_learn.paths import Paths


def refuse_hung(paths: Paths) -> None:
    """Raise DaemonError if there is a daemon that does not answer."""
    if (state := client.hung(paths)) is not None:
        raise DaemonError(
            f"The daemon is there (pid {state.pid}) and does not answer: it hangs.",
            "`qi-learn daemon restart` ends it and starts another.",
        )
